"""A device measures itself: `shoal bench`, and what a daemon keeps of it."""

import json
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, make_model, wait_for  # noqa: E402


def bench(device, *arguments):
    """The final event of `shoal bench --json`."""
    result = device.shoal("--json", "bench", *arguments)
    return json.loads(result.stdout.splitlines()[-1])


class BenchTest(unittest.TestCase):
    def measuring_cluster(self, count=1):
        return Cluster(count, **{"device.speed_bytes": 0})

    def test_a_device_measures_itself_once_and_knows_it_at_the_next_start(self):
        with self.measuring_cluster() as cluster:
            cluster.start()
            device = cluster.devices[0]
            file = device.folder / "state" / "measured.json"
            wait_for("measured in the background", file.exists)
            first = wait_for("known", lambda: (lambda r: r if r["origin"] == "measured" else None)(
                bench(device, "--show")))
            self.assertEqual(first["threads"], 1)
            self.assertEqual(set(first["products"]), {"f32", "f16", "q8", "q4", "k"})
            self.assertEqual(device.stop(), 0)
            device.start()
            cluster.wait_complete([device])
            self.assertEqual(bench(device, "--show"), first)
            # A file that is cut off is told of, and measured anew.
            self.assertEqual(device.stop(), 0)
            file.write_bytes(file.read_bytes()[:100])
            device.start()
            cluster.wait_complete([device])
            wait_for("measured anew", lambda: json_of(file))
            self.assertIn("measured.json is of no use", device.log())

    def test_bench_measures_and_prints_a_table(self):
        with self.measuring_cluster() as cluster:
            cluster.start()
            device = cluster.devices[0]
            result = device.shoal("bench")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("WEIGHTS ", result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)
            shown = device.shoal("bench", "--show")
            self.assertEqual(shown.stdout, result.stdout)

    def test_a_generation_is_not_disturbed(self):
        with self.measuring_cluster() as cluster:
            device = cluster.devices[0]
            make_model(device.models / "tiny.gguf", shape="tiny", type="f32")
            cluster.start()
            wait_for("measured", lambda: bench(device, "--show")["origin"] == "measured")
            long = device.popen("run", "--raw", "tiny", "--ignore-eos", "--", "Once")
            long.stdout.read(1)
            result = device.shoal("bench")
            if long.poll() is None:
                self.assertEqual(result.returncode, 5, result)
                self.assertIn("a generation runs on this device", result.stderr)
            long.send_signal(signal.SIGINT)
            long.communicate(timeout=PATIENCE)

    def test_ctrl_c_ends_it_and_changes_nothing(self):
        with self.measuring_cluster() as cluster:
            cluster.start()
            device = cluster.devices[0]
            before = wait_for("measured", lambda: (
                lambda r: r if r["origin"] == "measured" else None)(bench(device, "--show")))
            client = device.popen("bench", "--json")
            client.stdout.readline()  # it has begun
            client.send_signal(signal.SIGINT)
            client.communicate(timeout=PATIENCE)
            self.assertEqual(client.returncode, 128 + signal.SIGINT)
            time.sleep(1)
            self.assertEqual(bench(device, "--show"), before)

    def test_a_speed_that_is_set_is_not_measured(self):
        with Cluster(1) as cluster:
            cluster.start()
            device = cluster.devices[0]
            self.assertEqual(bench(device, "--show")["origin"], "given")
            result = device.shoal("bench")
            self.assertEqual(result.returncode, 2, result)
            self.assertIn("device.speed_bytes is set", result.stderr)
            self.assertFalse((device.folder / "state" / "measured.json").exists())


def json_of(file):
    """What is in a file; nothing while that is no JSON."""
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None


if __name__ == "__main__":
    unittest.main(verbosity=2)
