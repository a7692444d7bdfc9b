"""Unchanged clients of npm against a real cluster: each file of tests/clients is one test."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, SHOALD, make_model  # noqa: E402
import npm  # noqa: E402

SOURCES = pathlib.Path(__file__).parents[1] / "clients"
PACKAGES = pathlib.Path(SHOALD).resolve().parents[1] / "npm-clients"
NAME = "tiny"
# The oldest Node.js that a client runs on, where it is not every one with node:test.
NODE = {"langchain": 20}
# Of a file's tests: a few seconds when nothing is wrong.
TIME_LIMIT = 110


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        npm.install(SOURCES, PACKAGES)
        cls.cluster = Cluster(2)
        cls.device = cls.cluster.devices[0]
        for device in cls.cluster.devices:
            make_model(device.models / f"{NAME}.gguf", shape="tiny", type="f32", arch="qwen2",
                       context=2048, chat_template=SOURCES / "tools.jinja")
        cls.cluster.start()
        # Errors after what is told of the loading would have no status.
        loaded = cls.device.shoal("load", NAME)
        assert loaded.returncode == 0, loaded.stderr

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def run_file(self, name):
        if npm.node_version() < NODE.get(name, 18):
            self.skipTest(f"{name} needs Node.js {NODE.get(name, 18)}")
        environment = {**os.environ, "SHOAL_MODEL": NAME,
                       "SHOAL_URL": f"http://127.0.0.1:{self.device.http_port()}"}
        try:
            result = subprocess.run(["node", "--test", f"{name}.mjs"], cwd=PACKAGES,
                                    env=environment, timeout=TIME_LIMIT, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired as late:
            self.fail(f"{name} was not done after {TIME_LIMIT} s:\n{late.output}")
        self.assertEqual(result.returncode, 0, f"\n{result.stdout}")
        self.assertTrue(all(device.alive() for device in self.cluster.devices))

    def test_openai(self):
        self.run_file("openai")

    def test_ollama(self):
        self.run_file("ollama")

    def test_anthropic(self):
        self.run_file("anthropic")

    def test_langchain(self):
        self.run_file("langchain")

    def test_ai(self):
        self.run_file("ai")


if __name__ == "__main__":
    unittest.main(verbosity=2)
