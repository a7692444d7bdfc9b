"""Files of models: found when they are whole, by each of their names."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for, warnings  # noqa: E402

EXACT = {"models.collectives": "f32", "models.kv": "f32"}


def names(device):
    return sorted(m["name"] for m in json.loads(device.shoal("--json", "models").stdout)["models"])


class ModelsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        cls.other = make_model(cls.folder / "other.gguf", shape="tiny", type="f32", seed=2)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_one_content_in_two_folders_is_known_by_both_names_after_a_restart(self):
        with Cluster(1) as cluster:
            device = cluster.devices[0]
            packaged = cluster.folder / "packaged"
            packaged.mkdir()
            device.settings["models.directories"] = f"{device.models},{packaged}"
            shutil.copy(self.tiny, packaged / "demo.gguf")
            cluster.start()
            expected = device.run("demo", "The sea", 8)
            # As a person does, and after that the daemon's package is upgraded.
            shutil.copy(self.tiny, device.models / "mine.gguf")
            self.assertEqual(device.run("mine", "The sea", 8), expected)
            self.assertEqual(device.stop(), 0)
            device.start()
            wait_for("up", device.status)
            self.assertEqual(device.run("demo", "The sea", 8), expected)
            self.assertEqual(names(device), ["demo", "mine"])

    def test_a_file_that_is_renamed_into_place_while_the_daemon_starts_is_found(self):
        for delay in (0, 0.02, 0.05, 0.1, 0.2, 0.4):
            with self.subTest(delay=delay), Cluster(1) as cluster:
                device = cluster.devices[0]
                target = device.models / "demo.gguf"
                shutil.copy(self.other, target)
                shutil.copy2(self.tiny, device.models / "demo.gguf.dpkg-new")
                # As dpkg does: another content with a time of long ago.
                os.utime(device.models / "demo.gguf.dpkg-new", (1_000_000_000, 1_000_000_000))
                device.start()
                time.sleep(delay)
                os.rename(device.models / "demo.gguf.dpkg-new", target)
                wait_for("up", device.status)
                answer = device.run("demo", "The sea", 8)
                self.assertEqual(answer, device.run(self.tiny, "The sea", 8))

    def test_a_new_file_is_there_when_its_copy_is_whole(self):
        with Cluster(2, **EXACT) as cluster:
            cluster.start()
            bystander = next(d for d in cluster.devices if d is not cluster.root())
            content = self.tiny.read_bytes()

            def copy_slowly():
                with open(bystander.models / "slow.gguf", "wb", buffering=0) as out:
                    for i in range(10):
                        out.write(content[i * len(content) // 10:(i + 1) * len(content) // 10])
                        time.sleep(0.2)
            copying = threading.Thread(target=copy_slowly)
            copying.start()
            time.sleep(1)
            self.assertEqual(names(bystander), [])
            copying.join()
            began = time.monotonic()
            text = bystander.run("slow", "The sea", 8)
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(text, cluster.root().run("slow", "The sea", 8))
            self.assertNotIn("left out", bystander.log())

    def split(self, folder):
        """A model in three parts, beside the same in one."""
        folder.mkdir(exist_ok=True)
        make_model(folder / "parts.gguf", shape="tiny", type="f32", split=3)
        return sorted(folder.glob("parts-*-of-00003.gguf"))

    def test_a_model_in_parts_answers_as_the_whole_file(self):
        parts = self.split(self.folder / "parts")
        self.assertEqual(len(parts), 3)
        for count in (1, 2):
            with self.subTest(devices=count), Cluster(count, **EXACT) as cluster:
                cluster.start()
                device = cluster.root()
                expected = device.run(self.tiny, "The sea", 20)
                # Any part by its path, wherever it lies; the others get their pieces of it.
                self.assertEqual(device.run(parts[1], "The sea", 20), expected)
                for part in parts:
                    shutil.copy(part, cluster.devices[-1].models)
                self.assertEqual(cluster.devices[-1].run("parts", "The sea", 20), expected)
                listed = json.loads(device.shoal("--json", "models").stdout)["models"]
                model = next(m for m in listed if m["name"] == "parts")
                self.assertAlmostEqual(model["file_bytes"], self.tiny.stat().st_size, delta=2000)
                self.assertEqual(device.shoal("plan", "parts").returncode, 0)

    def test_a_part_that_is_missing_is_named_and_waited_for(self):
        parts = self.split(self.folder / "some")
        with Cluster(1, **EXACT) as cluster:
            cluster.start()
            device = cluster.devices[0]
            for part in (parts[2], parts[0]):
                shutil.copy(part, device.models)
            refused = device.shoal("run", "--raw", "parts", "The sea")
            self.assertIn("part 2 of 3 of the model is missing", refused.stderr)
            shutil.copy(parts[1], device.models)
            self.assertEqual(device.run("parts", "The sea", 8),
                             device.run(self.tiny, "The sea", 8))
            os.remove(device.models / parts[0].name)
            wait_for("gone", lambda: "part 1 of 3" in device.shoal("models").stdout)

    def test_a_folder_may_come_later(self):
        with Cluster(1) as cluster:
            device = cluster.devices[0]
            late = cluster.folder / "on" / "a" / "disk"
            device.settings["models.directories"] = late
            cluster.start()
            self.assertEqual([w["name"] for w in warnings(device.status())], ["models-folder"])
            late.mkdir(parents=True)
            shutil.copy(self.tiny, late / "late.gguf")
            device.run("late", "The sea", 4)
            self.assertEqual(warnings(device.status()), [])
            shutil.rmtree(late)
            wait_for("gone", lambda: names(device) == [])

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "needs root and unshare")
    def test_without_watches_folders_are_looked_through_from_time_to_time(self):
        for limit in ("max_inotify_watches", "max_inotify_instances"):
            deaf = ("unshare", "--user", "--map-root-user", "sh", "-c",
                    f'echo 0 > /proc/sys/user/{limit} && exec "$@"', "-")
            with self.subTest(limit), Cluster(1, prefixes=[deaf]) as cluster:
                cluster.start()
                device = cluster.devices[0]
                shutil.copy(self.tiny, device.models / "late.gguf")
                wait_for("found", lambda: names(device) == ["late"])
                self.assertEqual(device.log().count("are looked through every 10 s instead"), 1)
                self.assertIn("fs.inotify.max_user_", device.log())


if __name__ == "__main__":
    unittest.main()
