"""Devices as hosts of their own, in network namespaces on one bridge."""

import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, present, wait_for  # noqa: E402
from network import Network, can_make_namespaces  # noqa: E402


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
            # A root that has just been elected may not have told it yet.
            hosts = {f"10.78.0.{i}" for i in (1, 2, 3)}
            wait_for("the hosts' addresses", lambda: len(hosts & {
                d["address"] for d in (cluster.devices[0].status() or {"devices": []})["devices"]}) >= 2)
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
                len(present(d.status() or {"devices": []})) == 1 and d.status()["root"]
                for d in cluster.devices))
            for device in cluster.devices:
                device.run("tiny", "The sea", 5)
            network.mend(1)
            cluster.wait_complete(cluster.devices)
            cluster.devices[1].run("tiny", "The sea", 5)
            self.assertEqual({d["rank"] for d in cluster.root().status()["devices"]}, {0, 1})


if __name__ == "__main__":
    unittest.main(verbosity=2)
