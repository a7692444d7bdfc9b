"""The page of a real cluster in Chromium: each file of tests/page is one test."""

import http.server
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, SHOALD, free_port, make_model  # noqa: E402
import npm  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "page"
PACKAGES = pathlib.Path(SHOALD).resolve().parents[1] / "npm-page"
TEMPLATE = ROOT / "tests" / "clients" / "tools.jinja"
NAME = "tiny"
KEY = "a-key-that-is-long-enough"
TIME_LIMIT = 240


def chromium():
    """Where it is. Skips the test without one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    raise unittest.SkipTest("no Chromium is installed (apt-get install chromium)")


def without_template(path):
    """A model that is no chat model: the template's key is another one."""
    made = make_model(path.with_suffix(".making"), shape="tiny", type="f32", seed=2)
    made.write_bytes(made.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.none_template"))
    made.rename(path)


class Control:
    """Does to the devices of a cluster what the browser's test asks for."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.actions = {
            "/kill": lambda: cluster.devices[-1].kill(),
            "/start": lambda: self.start(cluster.devices[-1:]),
            "/stop-all": lambda: [device.stop() for device in cluster.devices],
            "/start-all": lambda: self.start(cluster.devices),
        }
        actions = self.actions

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                actions[self.path]()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start(self, devices):
        for device in devices:
            device.start()
        self.cluster.wait_complete(self.cluster.devices)

    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# An answer that is to be stopped is a long one, and not so quick that a browser on a busy machine
# falls behind, upon which the daemon ends it.
LONG = {"context": 16384, "layers": 16}


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chromium = chromium()
        if npm.node_version() < 18:
            raise unittest.SkipTest("Node.js 18 or later is not installed")
        npm.install(SOURCES, PACKAGES)

    def cluster(self, count, context=2048, layers=2, others=(), **settings):
        """Devices with a model that is loaded, others without chat template, a warning of a folder
        that is missing, and the first one's port, which stays the same."""
        cluster = Cluster(count, **settings)
        self.addCleanup(cluster.close)
        device = cluster.devices[0]
        device.settings["http.port"] = free_port(socket.SOCK_STREAM)
        device.settings["models.directories"] = f"{device.models},{device.folder}/missing"
        for one in cluster.devices:
            make_model(one.models / f"{NAME}.gguf", shape="tiny", type="f32", arch="qwen2",
                       context=context, layers=layers, chat_template=TEMPLATE)
            for other in others:
                without_template(one.models / f"{other}.gguf")
        cluster.start()
        loaded = device.shoal("load", NAME)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        return cluster

    def run_file(self, name, cluster):
        control = Control(cluster)
        self.addCleanup(control.close)
        environment = {**os.environ, "CHROMIUM": self.chromium, "SHOAL_KEY": KEY,
                       "SHOAL_CONTROL": control.url(),
                       "SHOAL_URL": f"http://127.0.0.1:{cluster.devices[0].http_port()}"}
        try:
            result = subprocess.run(["node", "--test", f"{name}.mjs"], cwd=PACKAGES,
                                    env=environment, timeout=TIME_LIMIT, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired as late:
            self.fail(f"{name} was not done after {TIME_LIMIT} s:\n{late.output}")
        self.assertEqual(result.returncode, 0, f"\n{result.stdout}")
        self.assertTrue(all(device.alive() for device in cluster.devices))

    def test_chat(self):
        self.run_file("chat", self.cluster(2, **LONG, others=["plain"]))

    def test_queue(self):
        self.run_file("queue", self.cluster(1, **LONG, **{"models.parallel": 1}))

    def test_markdown(self):
        self.run_file("markdown", self.cluster(1))

    def test_long(self):
        self.run_file("long", self.cluster(1))

    def test_devices(self):
        self.run_file("devices", self.cluster(3, **LONG))

    def test_key(self):
        self.run_file("key", self.cluster(1, **{"http.api_key": KEY}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
