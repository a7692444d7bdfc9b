"""Unchanged clients of npm against a real cluster: each file of tests/clients is one test."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, SHOALD, make_model  # noqa: E402

SOURCES = pathlib.Path(__file__).parents[1] / "clients"
# Beside the build, so that the packages are fetched once for all runs.
PACKAGES = pathlib.Path(SHOALD).resolve().parents[1] / "npm-clients"
NAME = "tiny"
# The oldest Node.js that a client runs on, where it is not every one with node:test.
NODE = {"langchain": 20}
# Of a file's tests: a few seconds when nothing is wrong.
TIME_LIMIT = 110
INSTALL_LIMIT = 300


def major_version():
    found = re.match(r"v(\d+)\.", subprocess.run(["node", "--version"], capture_output=True,
                                                 text=True).stdout)
    return int(found[1]) if found else 0


def registry_answers():
    """Whether one of the packages can be looked up, soon."""
    command = ["npm", "view", "zod", "name", "--fetch-retries=0", "--fetch-timeout=10000"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def installed():
    """Whether exactly the versions of package.json are there."""
    for name, version in json.loads((SOURCES / "package.json").read_text())["dependencies"].items():
        path = PACKAGES / "node_modules" / name / "package.json"
        if not path.is_file() or json.loads(path.read_text())["version"] != version:
            return False
    return True


def install():
    """Packages in a folder, with the tests beside them. Skips when they cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("node and npm are not installed")
    PACKAGES.mkdir(exist_ok=True)
    for path in SOURCES.glob("*.mjs"):
        shutil.copy(path, PACKAGES)
    shutil.copy(SOURCES / "package.json", PACKAGES)
    if installed():
        return
    if not registry_answers():
        raise unittest.SkipTest("npm's registry does not answer, and the packages are not here")
    subprocess.run(["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit",
                    "--no-fund"], cwd=PACKAGES, check=True, timeout=INSTALL_LIMIT)


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()
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
        if major_version() < NODE.get(name, 18):
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
