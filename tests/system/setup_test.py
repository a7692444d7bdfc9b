"""`shoald --check`, and the warnings of a daemon that starts all the same."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import SHOALD, Cluster, wait_for, warnings  # noqa: E402


class SetupTest(unittest.TestCase):
    def check(self, device):
        """(exit code, standard output, standard error) of --check with the device's settings."""
        flags = [f"--{key}={value}" for key, value in device.settings.items()]
        result = subprocess.run(
            [SHOALD, "--config", str(device.folder / "shoald.toml"), *flags, "--check"],
            capture_output=True, text=True, timeout=60)
        return result.returncode, result.stdout, result.stderr

    def test_what_is_fine_is_summed_up_in_one_line(self):
        with Cluster(1) as cluster:
            code, out, err = self.check(cluster.devices[0])
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"^configuration is fine: device dev1, cluster [-0-9a-f]+, .*\n$")

    def test_every_problem_is_named_and_ends_with_code_1(self):
        with Cluster(1) as cluster:
            cluster.key.chmod(0o644)
            cluster.devices[0].settings["models.directories"] = cluster.folder / "none"
            code, out, err = self.check(cluster.devices[0])
            self.assertEqual((code, out), (1, ""))
            self.assertIn(f"error: {cluster.key} is open to everybody", err)
            self.assertIn("warning: no models are found in", err)
            cluster.key.unlink()
            self.assertIn("there is no cluster key at", self.check(cluster.devices[0])[2])

    def test_a_missing_models_folder_is_a_warning_that_every_device_shows(self):
        with Cluster(2) as cluster:
            cluster.devices[1].settings["models.directories"] = cluster.folder / "none"
            cluster.start()
            said = wait_for("warned", lambda: warnings(cluster.devices[0].status()))
            names = {d["id"]: d["name"] for d in cluster.devices[0].status()["devices"]}
            self.assertIn(("models-folder", "dev2"),
                          [(w["name"], names.get(w["device"])) for w in said])
            self.assertIn("warning: dev2: no models are found",
                          cluster.devices[0].shoal("status").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
