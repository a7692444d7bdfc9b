"""Strangers that hold connections, to every port of a running daemon, and are not felt."""

import contextlib
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, Device, make_model, wait_for  # noqa: E402

# What a system gives that was not asked for more, and few enough for a test to fill.
LIMITS = ["prlimit", "--nofile=1024:2048"]
HELD = 1000
# So that the text does not depend on the number of devices.
EXACT = {"models.collectives": "f32", "models.kv": "f32"}


def listening_ports(pid):
    """TCP ports that a process listens at."""
    sockets = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            sockets.add(os.readlink(entry.path))
        except FileNotFoundError:
            pass
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def hold(stack, count, family, address, say=b""):
    """Connections that stay open on this side, whatever the other does, until the stack ends."""
    for _ in range(count):
        stranger = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        stranger.settimeout(5)
        try:
            stranger.connect(address)
            if say:
                stranger.send(say)
        except OSError:
            pass


class StrangersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_connections_held_by_strangers_stop_nothing_and_nobody(self):
        with Cluster(2, prefixes=[LIMITS, ()], **EXACT) as cluster, contextlib.ExitStack() as stack:
            shutil.copy(self.tiny, cluster.devices[0].models)
            cluster.start()
            victim = cluster.devices[0]
            expected = victim.run("tiny", "The sea", 40)
            pid = victim.process.pid
            before = descriptors(pid)
            http = victim.http_port()
            ports = listening_ports(pid) - {http}
            self.assertEqual(len(ports), 3, "control, data, and measuring links")

            for port in ports:
                hold(stack, HELD, socket.AF_INET, ("127.0.0.1", port))
                # The beginning of ZeroMQ's greeting, and never the rest.
                hold(stack, HELD // 4, socket.AF_INET, ("127.0.0.1", port), b"\xff\0\0\0")
            self.assertTrue(victim.alive(), victim.log())
            self.assertLess(descriptors(pid), 1024)
            self.assertEqual(victim.run("tiny", "The sea", 40), expected)

            hold(stack, HELD, socket.AF_UNIX, str(victim.socket))
            self.assertTrue(victim.alive(), victim.log())
            self.assertLess(descriptors(pid), 1024)
            self.assertEqual(victim.run("tiny", "The sea", 40), expected)

            # A device that comes now, from the strangers' address, is let in.
            third = Device(cluster, 3, EXACT)
            cluster.devices.append(third)
            third.start()
            cluster.wait_complete(cluster.devices)
            self.assertEqual(third.run("tiny", "The sea", 40), expected)
            wait_for("strangers are gone", lambda: descriptors(pid) < before + 100)


if __name__ == "__main__":
    unittest.main()
