"""Links between devices are measured while nothing runs, shown, and taken for plans."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402


def links(device, count):
    """The measured links, when there are so many."""
    state = device.status()
    return state["links"] if state and len(state["links"]) == count else None


def planned_us(link):
    """An exchange as plans count it: without the time of its 2 KiB."""
    took = link["exchange_us"]
    return max(took - 2048 / min(link["bytes_per_second"]) * 1e6, took / 4)


class LinksTest(unittest.TestCase):
    def test_every_pair_is_measured_and_plans_are_made_by_it(self):
        with Cluster(3) as cluster:
            for device in cluster.devices:
                make_model(device.models / "tiny.gguf", shape="tiny", type="f32")
            cluster.start()
            root = cluster.root()
            other = next(d for d in cluster.devices if d is not root)
            measured = wait_for("three links", lambda: links(other, 3))
            ids = {d["id"] for d in root.status()["devices"]}
            self.assertEqual(len({tuple(sorted(link["devices"])) for link in measured}), 3)
            for link in measured:
                self.assertLessEqual(set(link["devices"]), ids)
                # Memory of one machine, which may have other things to do.
                self.assertGreater(min(link["bytes_per_second"]), 1e5)
                self.assertGreater(link["exchange_us"], 1)
                self.assertLess(link["exchange_us"], 1e5)
                self.assertEqual(link["transport"], "zmtp")
                self.assertNotIn(link["cipher"], ("", "none"))
                self.assertRegex(link["measured"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertEqual(json.loads(other.http("GET", "/v1/cluster")[2])["links"], measured)
            self.assertIn("Links    3 of 3 measured", other.shoal("status").stdout)

            plan = json.loads(other.shoal("--json", "plan", "tiny").stdout.splitlines()[-1])
            self.assertEqual((plan["links"]["pairs"], plan["links"]["measured"]), (3, 3))
            self.assertAlmostEqual(plan["links"]["worst"]["exchange_us"],
                                   max(map(planned_us, measured)), 3)
            self.assertIn("all 3 are measured", other.shoal("plan", "tiny").stdout)
            # What stands beside plans does not disturb them.
            self.assertNotEqual(root.run("tiny", "Once", 8), "")

    def test_a_restarted_root_knows_them_at_once(self):
        with Cluster(2) as cluster:
            for device in cluster.devices:
                make_model(device.models / "tiny.gguf", shape="tiny", type="f32")
            cluster.devices[0].settings["device.priority"] = 9
            cluster.start()
            first, second = cluster.devices
            wait_for("it leads", lambda: cluster.root() is first)
            measured = wait_for("one link", lambda: links(first, 1))
            shown = first.shoal("bench", "--show").stdout
            self.assertRegex(shown, r"LINK +EXCHANGE +THERE +BACK +MEASURED")
            self.assertRegex(shown, rf"dev[12] - dev[12] .* {measured[0]['measured']}")
            wait_for("kept", (first.folder / "state" / "links.json").exists)
            self.assertEqual(first.stop(), 0)
            told = first.log().count("an exchange takes")
            first.start()
            cluster.wait_complete([first, second])
            wait_for("it leads", lambda: cluster.root() is first)
            plan = json.loads(first.shoal("--json", "plan", "tiny").stdout.splitlines()[-1])
            self.assertEqual((plan["links"]["pairs"], plan["links"]["measured"]), (1, 1))
            # Devices that have just met are not measured yet; a slow test meets them later.
            known = links(first, 1)
            if first.log().count("an exchange takes") == told:
                self.assertEqual(known, measured)
                self.assertAlmostEqual(plan["links"]["worst"]["exchange_us"],
                                       planned_us(measured[0]), 3)
            # A file that is cut off is told of, and no more.
            self.assertEqual(first.stop(), 0)
            (first.folder / "state" / "links.json").write_text('{"format":1,')
            first.start()
            cluster.wait_complete([first, second])
            self.assertIn("links.json is of no use", first.log())

    def test_a_device_that_comes_later_is_measured_beside_a_plan(self):
        with Cluster(2) as cluster:
            first, second = cluster.devices
            make_model(first.models / "tiny.gguf", shape="tiny", type="f32")
            first.start()
            cluster.wait_complete([first])
            wait_for("it runs", lambda: first.shoal("load", "tiny").returncode == 0)
            second.start()
            cluster.wait_complete([first, second])
            wait_for("one link", lambda: links(second, 1))
            self.assertNotEqual(first.run("tiny", "Once", 8), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
