"""Devices that are not who they should be: one state folder for two, and a copied one."""

import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, Device, present, wait_for  # noqa: E402


def warnings(device, name):
    """Its warnings of that name."""
    state = device.status()
    return [w for w in state["warnings"] if w["name"] == name] if state else []


def kept_of(one, another, others):
    """Which of two devices with one identity forms a cluster with the others, while the second is
    alone; nothing if that is not how it is."""
    def view(device):
        state = device.status() or {"devices": [], "root": None}
        return state["root"], sorted(d["name"] for d in present(state))
    for kept, out in ((one, another), (another, one)):
        views = [view(device) for device in (*others, kept)]
        names = sorted(device.name for device in (*others, kept))
        if views[0][0] and all(v == (views[0][0], names) for v in views):
            return kept if view(out)[1] == [out.name] else None
    return None


class IdentityTest(unittest.TestCase):
    def test_two_daemons_on_one_state_folder_are_refused(self):
        with Cluster(1) as cluster:
            cluster.start()
            first = cluster.devices[0]
            second = Device(cluster, 2, {"device.state_dir": first.folder / "state"})
            cluster.devices.append(second)
            second.start()
            self.assertNotEqual(second.process.wait(PATIENCE), 0)
            self.assertIn(str(first.folder / "state"), second.log())
            self.assertIn(f"process {first.process.pid}", second.log())
            self.assertIn("device.state_dir", second.log())
            self.assertIsNotNone(first.status())

    def test_a_copied_state_folder_is_told_everywhere_and_one_of_the_two_stays(self):
        # With such times neither is taken for restarted because the machine was busy.
        patient = {"cluster.heartbeat_ms": 1000, "cluster.suspect_ms": 5000,
                   "cluster.dead_ms": 10000}
        with Cluster(3, **patient) as cluster:
            cluster.start()
            original = cluster.devices[1]
            others = [cluster.devices[0], cluster.devices[2]]
            copy = Device(cluster, 4, patient)
            shutil.copytree(original.folder / "state", copy.folder / "state")
            copy.start()
            try:
                for device in [*cluster.devices, copy]:
                    found = wait_for(f"{device.name} says it",
                                     lambda: warnings(device, "identity-clash"))
                    self.assertEqual(found[0]["severity"], "error")
                    self.assertIn("device.key", found[0]["remedy"])
                # The original, unless both started so much at once that chance decides.
                kept = wait_for("one of the two is in, the other alone",
                                lambda: kept_of(original, copy, others))
                lost = [device.log().count("lost") for device in others]
                if kept is original:
                    self.assertEqual(lost, [0, 0], cluster.views())
                # Beacons and hellos of both went on meanwhile, and nobody comes or goes any more.
                time.sleep(3)
                self.assertIs(kept_of(original, copy, others), kept, cluster.views())
                self.assertEqual([device.log().count("lost") for device in others], lost)
            finally:
                copy.stop()
            cluster.wait_complete(cluster.devices)
            for device in cluster.devices:
                wait_for("it is over", lambda: not warnings(device, "identity-clash"))


if __name__ == "__main__":
    unittest.main()
