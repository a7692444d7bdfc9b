"""Several models in memory: they take turns, and stay or go as they are asked to."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402

EXACT = {"models.collectives": "f32", "models.kv": "f32"}
SIZE = {"shape": "tiny", "type": "f32", "context": 4096, "dim": 256, "ff": 1024, "layers": 8}


def loaded(device):
    """(name, at work) of the models in memory."""
    return [(m["name"], m["at_work"]) for m in device.status()["loaded"]]


def runs(device):
    """How often a plan was loaded, and how often one began to work."""
    log = device.log()
    return log.count(" devices, context "), log.count(" runs after ")


class TurnsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-turns-"))
        cls.one = make_model(cls.folder / "one.gguf", **SIZE)
        cls.two = make_model(cls.folder / "two.gguf", **SIZE, seed=2)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def cluster(self, devices, **settings):
        cluster = Cluster(devices, **EXACT, **settings)
        for device in cluster.devices:
            shutil.copy(self.one, device.models)
            shutil.copy(self.two, device.models)
        return cluster

    def long_answers(self, device, count):
        """Of both models, at the same time, by their names."""
        answers = {}

        def ask(name):
            answers[name] = device.run(name, "Once upon a time", count, "--ignore-eos")

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_two_answers_of_two_models_come_on_together_on_two_devices(self):
        with self.cluster(2, **{"models.turn_ms": 100}) as cluster:
            cluster.start()
            cluster.wait_complete(cluster.devices)
            device, root = cluster.devices[0], cluster.root()
            alone = {name: device.run(name, "Once upon a time", 400, "--ignore-eos")
                     for name in ("one", "two")}
            before = runs(root)
            self.assertEqual(self.long_answers(device, 400), alone)
            loads, starts = (b - a for a, b in zip(before, runs(root)))
            self.assertEqual(loads, 0, "they were in memory")
            self.assertGreaterEqual(starts, 3, "they took turns")
            self.assertEqual(sorted(name for name, _ in loaded(device)), ["one", "two"])

    def test_a_device_that_is_lost_takes_parked_plans_with_it(self):
        with self.cluster(2) as cluster:
            cluster.start()
            cluster.wait_complete(cluster.devices)
            root = cluster.root()
            other = next(d for d in cluster.devices if d is not root)
            alone = {name: root.run(name, "The sea", 20) for name in ("one", "two")}
            self.assertEqual(len(loaded(root)), 2)
            other.kill()
            wait_for("alone", lambda: not loaded(root) or len(loaded(root)) < 2)
            for name in ("one", "two", "one"):
                self.assertEqual(root.run(name, "The sea", 20), alone[name])
            other.start()
            cluster.wait_complete(cluster.devices)
            for name in ("one", "two"):
                self.assertEqual(root.run(name, "The sea", 20), alone[name])

    def test_a_model_stays_or_leaves_as_a_person_says(self):
        with self.cluster(1) as cluster:
            device = cluster.devices[0]
            cluster.start()
            held = device.memory()
            device.run("one", "The sea", 4)
            device.run("two", "The sea", 4)
            self.assertEqual(loaded(device), [("two", True), ("one", False)])
            text = device.shoal("status").stdout
            self.assertIn("Memory   also one (", text)
            self.assertEqual(device.shoal("models").stdout.count("yes"), 2)
            with_both = device.memory()
            self.assertEqual(device.shoal("unload", "two").returncode, 0)
            self.assertEqual(loaded(device), [("one", False)])
            self.assertEqual(device.shoal("unload", "one").returncode, 0)
            self.assertEqual(loaded(device), [])
            self.assertLess(device.memory() - held, (with_both - held) / 2)
            self.assertNotEqual(device.shoal("unload", "three").returncode, 0)

            def ollama(path, **body):
                return json.loads(device.http("POST", path, {"stream": False, **body})[2])

            def ps():
                return json.loads(device.http("GET", "/api/ps")[2])["models"]

            ollama("/api/generate", model="one", prompt="The sea", keep_alive="1h",
                   options={"num_predict": 2})
            ollama("/api/generate", model="two", prompt="The sea", options={"num_predict": 2})
            ends = {m["name"]: m["expires_at"] for m in ps()}
            self.assertEqual(set(ends), {"one:latest", "two:latest"})
            self.assertLess(ends["one:latest"], "2200")
            self.assertGreater(ends["two:latest"], "2200")
            self.assertEqual(ollama("/api/generate", model="one", keep_alive=0)["done_reason"],
                             "unload")
            self.assertEqual([m["name"] for m in ps()], ["two:latest"])
            ollama("/api/generate", model="two", prompt="The sea", keep_alive="1s",
                   options={"num_predict": 2})
            wait_for("nothing in memory", lambda: not ps())


if __name__ == "__main__":
    unittest.main()
