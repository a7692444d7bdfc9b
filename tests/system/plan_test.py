"""`shoal plan MODEL`: what real daemons predict, and what they then do."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402


def forecast(device, model, *more):
    """The final event of `shoal plan --json`."""
    result = device.shoal("--json", "plan", model, *more)
    return json.loads(result.stdout.splitlines()[-1])


def known(device, model):
    """Some device announces the model."""
    listed = device.shoal("--json", "models").stdout
    return any(m["name"] == model for m in json.loads(listed)["models"])


class PlanTest(unittest.TestCase):
    def test_a_prediction_is_the_plan_that_is_made(self):
        with Cluster(3) as cluster:
            for device in cluster.devices:
                device.settings["plan.min_devices"] = 2
                device.settings["plan.exclude"] = "dev3" if device.name != "dev3" else "dev2"
            make_model(cluster.devices[1].models / "tiny.gguf", shape="tiny", type="f32")
            cluster.start()
            root = cluster.root()
            other = next(d for d in cluster.devices if d is not root)
            wait_for("announced", lambda: known(other, "tiny"))
            # Whoever is asked, the root answers, by its own settings.
            plan = forecast(other, "tiny")
            self.assertEqual(plan, forecast(root, "tiny"))
            self.assertEqual(plan["event"], "plan", plan)
            self.assertEqual(plan["min_devices"], 2)
            self.assertEqual(len(plan["counts"]), 2)
            self.assertEqual([c["devices"] for c in plan["counts"] if c["chosen"]], [2])
            left_out = root.settings["plan.exclude"]
            reasons = {d["name"]: d["reason"] for d in plan["devices"]}
            self.assertIn("plan.exclude", reasons[left_out])
            self.assertEqual(root.status()["plan"], 0)  # nothing was loaded

            root.run("tiny", "Once", 2)
            made = {d["name"]: d for d in root.status()["devices"] if d["rank"] >= 0}
            predicted = {d["name"]: d for d in plan["devices"] if d["takes_part"]}
            self.assertEqual(made.keys(), predicted.keys())
            for name, device in made.items():
                self.assertEqual(device["q_heads"], predicted[name]["q_heads"])
                self.assertEqual(device["ffn_columns"], predicted[name]["ffn"])

            alone = forecast(other, "tiny", "--devices", 1)
            self.assertEqual(alone["shown"], 1)
            self.assertEqual([d["name"] for d in alone["devices"] if d["takes_part"]], [root.name])

    def test_rows_of_prompts_are_shared_by_devices_that_have_the_file(self):
        with Cluster(2) as cluster:
            for device in cluster.devices:
                device.settings["plan.min_devices"] = 2
                device.settings["models.prefill"] = "sequence"
                make_model(device.models / "everywhere.gguf", shape="tiny", type="f32")
            make_model(cluster.devices[0].models / "once.gguf", shape="tiny", type="q8_0")
            cluster.start()
            root = cluster.root()
            for _ in range(2):
                wait_for("announced", lambda: known(root, "everywhere") and known(root, "once"))
                for model, having in (("everywhere", {"dev1", "dev2"}), ("once", {"dev1"})):
                    plan = forecast(root, model)
                    self.assertEqual(plan["rows_shared_from"], 1)
                    self.assertEqual({d["name"] for d in plan["devices"] if d["row_share"]}, having)
                # The same beside a plan of one of them.
                root.run("once", "Once", 2)

    def test_people_are_told_what_cannot_be_predicted(self):
        with Cluster(1) as cluster:
            device = cluster.devices[0]
            make_model(device.models / "tiny.gguf", shape="tiny", type="f32")
            cluster.start()
            wait_for("announced", lambda: known(device, "tiny"))
            text = device.shoal("plan", device.models / "tiny.gguf")
            self.assertEqual((text.returncode, text.stderr), (0, ""))
            self.assertIn("1 device is chosen", text.stdout)
            wrong = device.shoal("plan", "tini")
            self.assertEqual(wrong.returncode, 4, wrong)
            self.assertIn('did you mean "tiny"', wrong.stderr)
            many = device.shoal("plan", "tiny", "--devices", 2)
            self.assertEqual(many.returncode, 2, many)
            self.assertIn("2 devices are asked for; 1 can take part now", many.stderr)
            device.stop()
            device.settings["device.memory_limit_bytes"] = 100_000_000
            device.start()
            cluster.wait_complete([device])
            make_model(device.folder / "large.gguf", shape="1b", type="q4_0")
            large = device.shoal("plan", device.folder / "large.gguf")
            self.assertEqual(large.returncode, 1, large)
            self.assertIn("MiB", large.stderr)
            self.assertEqual(device.stop(), 0)
            gone = device.shoal("plan", "tiny")
            self.assertEqual(gone.returncode, 3, gone)
            self.assertIn("daemon", gone.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
