"""Devices as hosts of their own, in network namespaces on one bridge."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    """`count` namespaces shoal<pid>-1.., 10.78.0.1.., joined by a bridge in one of their own."""

    def __init__(self, count):
        tag = f"shoal{os.getpid() % 100000}"
        self.hub = f"{tag}-hub"
        self.hosts = [f"{tag}-{i + 1}" for i in range(count)]
        self.made = []

    def __enter__(self):
        try:
            self.make(self.hub)
            ip("-n", self.hub, "link", "add", "lan0", "type", "bridge")
            ip("-n", self.hub, "link", "set", "lan0", "up")
            for i, host in enumerate(self.hosts):
                self.make(host)
                ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{i}",
                   "netns", self.hub)
                ip("-n", self.hub, "link", "set", f"p{i}", "master", "lan0", "up")
                ip("-n", host, "link", "set", "eth0", "up")
                ip("-n", host, "link", "set", "lo", "up")
                ip("-n", host, "address", "add", f"10.78.0.{i + 1}/24", "broadcast", "10.78.0.255",
                   "dev", "eth0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def make(self, name):
        ip("netns", "add", name)
        self.made.append(name)

    def __exit__(self, *unused):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def prefixes(self):
        return [("ip", "netns", "exec", host) for host in self.hosts]

    def cut(self, i):
        ip("-n", self.hub, "link", "set", f"p{i}", "down")

    def mend(self, i):
        ip("-n", self.hub, "link", "set", f"p{i}", "up")


def can_make_namespaces():
    name = f"shoal-probe-{os.getpid()}"
    made = shutil.which("ip") and subprocess.run(["ip", "netns", "add", name],
                                                 capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return bool(made)


@unittest.skipUnless(can_make_namespaces(), "network namespaces cannot be made here")
class NetworkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="q8_0")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_hosts_find_each_other_and_answer_together(self):
        with Network(3) as network, Cluster(3, network.prefixes()) as cluster:
            shutil.copy(self.tiny, cluster.devices[2].models)
            cluster.start()
            addresses = {d["address"] for d in cluster.devices[0].status()["devices"]}
            self.assertGreaterEqual(len(addresses & {f"10.78.0.{i}" for i in (1, 2, 3)}), 2)
            for device in cluster.devices:
                device.run("tiny", "The sea", 10)
            self.assertEqual({d["rank"] for d in cluster.root().status()["devices"]}, {0, 1, 2})

    def test_a_cable_that_is_pulled_and_put_back(self):
        with Network(2) as network, Cluster(2, network.prefixes()) as cluster:
            for device in cluster.devices:
                shutil.copy(self.tiny, device.models)
            cluster.start()
            cluster.devices[0].run("tiny", "The sea", 5)
            network.cut(1)
            # Both halves serve by themselves.
            wait_for("two clusters of one", lambda: all(
                len((d.status() or {"devices": []})["devices"]) == 1 and d.status()["root"]
                for d in cluster.devices))
            for device in cluster.devices:
                device.run("tiny", "The sea", 5)
            network.mend(1)
            cluster.wait_complete(cluster.devices)
            cluster.devices[1].run("tiny", "The sea", 5)
            self.assertEqual({d["rank"] for d in cluster.root().status()["devices"]}, {0, 1})


if __name__ == "__main__":
    unittest.main(verbosity=2)
