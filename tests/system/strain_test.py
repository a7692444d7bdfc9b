"""A device whose programs wait for memory says so, and the next plan takes less of it."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import network  # noqa: E402
from cluster import Cluster, make_model, wait_for  # noqa: E402

# The daemon looks every ten seconds.
LOOKS = 60.0
FILE = "/proc/pressure/memory"


def pressure(percent):
    return (f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=1\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")


class StrainTest(unittest.TestCase):
    def test_waiting_for_memory_warns_and_makes_the_next_context_shorter(self):
        with Cluster(1, **{"device.memory_limit_bytes": 64 << 20}) as cluster:
            device = cluster.devices[0]
            # In a mount namespace of its own the daemon reads a file that this test writes.
            told = cluster.folder / "pressure"
            told.write_text(pressure(0))
            device.prefix = ["unshare", "-m", "sh", "-c",
                             f'mount --bind {told} {FILE} && exec "$@"', "sh"]
            for name in ("one", "two"):
                make_model(device.models / f"{name}.gguf", shape="tiny", type="q8_0", layers=8,
                           kv_heads=8, context=1 << 17, seed=len(name) + ord(name[0]))
            cluster.start()

            def strain():
                return [w["name"] for w in device.status()["warnings"]
                        if w["name"] == "memory-pressure"]

            def context(model):
                device.run(model, "x", 1)
                return device.status()["context"]
            before = device.status()["devices"][0]["memory_available"]
            longer = context("one")
            self.assertEqual(strain(), [])
            self.assertLess(longer, 1 << 17)  # it is memory that bounds it
            told.write_text(pressure(30))
            wait_for("warned", strain, LOOKS)
            # What it says of its memory is renewed every five seconds.
            wait_for("less memory", lambda: device.status()["devices"][0]["memory_available"]
                     < before * 0.95, LOOKS)
            shorter = context("two")
            print(f"context {longer}, then {shorter}")
            self.assertLess(shorter, longer)
            self.assertGreaterEqual(shorter, 256)


if __name__ == "__main__":
    if os.geteuid() != 0 or not os.path.exists(FILE) or not network.can_make_namespaces():
        sys.exit(network.SKIPPED)
    unittest.main(verbosity=2)
