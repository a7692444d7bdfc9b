"""Beginnings of prompts that devices keep on their disks: found after a restart, or computed."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402

SIZE = {"shape": "tiny", "type": "f32", "context": 4096, "dim": 256, "ff": 1024, "layers": 4}
PROMPT = "Once upon a time there was a small rabbit. " * 30
BLOCK = 128


class KeptTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-kept-"))
        cls.model = make_model(cls.folder / "one.gguf", **SIZE)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def cluster(self, keepers):
        cluster = Cluster(2, **{"models.prefill": "tensor"})
        for number, device in enumerate(cluster.devices):
            shutil.copy(self.model, device.models)
            if number in keepers:
                device.settings["models.cache_dir"] = device.folder / "cache" / "kept"
        return cluster

    def ask(self, cluster):
        """The answer, and how many tokens of the prompt were found."""
        request = {"prompt": PROMPT, "max_tokens": 30, "temperature": 0, "ignore_eos": True}
        status, _, text = cluster.devices[0].http("POST", "/v1/completions", request)
        self.assertEqual(status, 200, text)
        answer = json.loads(text)
        usage = answer["usage"]
        self.assertGreater(usage["prompt_tokens"], 3 * BLOCK)
        return answer["choices"][0]["text"], usage["prompt_tokens_details"]["cached_tokens"]

    def restart(self, cluster):
        for device in cluster.devices:
            self.assertEqual(device.stop(), 0)
            (device.folder / "log").unlink()
        cluster.start()
        cluster.wait_complete(cluster.devices)

    def kept(self, device):
        return sorted((device.folder / "cache" / "kept").glob("*.kv"))

    def wait_kept(self, cluster, blocks):
        wait_for(f"{blocks} blocks on each disk",
                 lambda: [len(self.kept(d)) for d in cluster.devices] == [blocks] * 2)

    def test_a_beginning_is_found_after_a_restart_by_all_or_by_none(self):
        with self.cluster({0, 1}) as cluster:
            cluster.start()
            cluster.wait_complete(cluster.devices)
            expected, cached = self.ask(cluster)
            self.assertEqual(cached, 0)
            _, tokens = self.ask(cluster)
            blocks = (tokens + 30) // BLOCK
            self.wait_kept(cluster, blocks)
            for device in cluster.devices:
                folder = device.folder / "cache" / "kept"
                self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
                for file in self.kept(device):
                    self.assertEqual(file.stat().st_mode & 0o777, 0o600)

            self.restart(cluster)
            text, cached = self.ask(cluster)
            self.assertEqual(text, expected)
            self.assertEqual(cached, tokens // BLOCK * BLOCK)

            # What is damaged on one device, all compute, and keep again.
            for device in cluster.devices:
                file = self.kept(device)[0]
                data = bytearray(file.read_bytes())
                data[len(data) // 2] ^= 1
                file.write_bytes(data)
                self.restart(cluster)
                text, cached = self.ask(cluster)
                self.assertEqual(text, expected)
                self.assertLess(cached, tokens // BLOCK * BLOCK)
                self.assertEqual(cached % BLOCK, 0)
                self.assertIn(f"{file.name} is damaged; the file is removed", device.log())
                self.wait_kept(cluster, blocks)
                self.restart(cluster)
                self.assertEqual(self.ask(cluster), (expected, tokens // BLOCK * BLOCK))

    def test_a_device_without_a_folder_has_all_compute(self):
        with self.cluster({0}) as cluster:
            cluster.start()
            cluster.wait_complete(cluster.devices)
            expected, cached = self.ask(cluster)
            self.assertEqual(cached, 0)
            self.restart(cluster)
            self.assertEqual(self.ask(cluster), (expected, 0))
            self.assertEqual(self.kept(cluster.devices[0]), [])


if __name__ == "__main__":
    unittest.main()
