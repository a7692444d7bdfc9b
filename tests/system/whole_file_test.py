"""Devices without a model's file fetch it while nothing is computed, and are of more use then."""

import contextlib
import filecmp
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for, warnings  # noqa: E402

FETCHING = {"models.collectives": "f32", "models.kv": "f32", "models.prefill": "sequence",
            "models.whole_file": "auto"}
PROMPT = "The sea and the wind and the long way home. " * 12


def hidden(device):
    return sorted(device.models.glob(".shoal-whole-*"))


def holders(device, model):
    """How many devices have a model's file, as a device knows."""
    known = json.loads(device.shoal("--json", "models").stdout)["models"]
    return next((len(m["devices"]) for m in known if m["name"] == model), 0)


def sharing(cluster):
    """Among how many devices each plan so far shares out the tokens of prompts."""
    logs = "".join(device.log() for device in cluster.devices)
    return [int(n) for n in re.findall(r"are shared out by tokens among (\d+) devices", logs)]


def percents(log):
    return [int(n) for n in re.findall(r"(\d+) % are here", log)]


class WholeFileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        cls.slow = make_model(cls.folder / "slow.gguf", shape="small", layers=8, vocab=8000, type="f32")
        with Cluster(1, **FETCHING) as alone:
            alone.start()
            cls.expected = alone.devices[0].run(cls.tiny, PROMPT, 20)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @contextlib.contextmanager
    def fetching(self):
        """Two devices, of which the second fetches the slow file from the first."""
        with Cluster(2, **FETCHING) as cluster:
            has, lacks = cluster.devices
            shutil.copy(self.slow, has.models)
            cluster.start()
            has.run("slow", "One day", 2)
            yield has, lacks

    def test_those_that_lack_the_file_get_it_and_take_tokens_of_prompts(self):
        with Cluster(4, **FETCHING) as cluster:
            has, one, two, unwilling = cluster.devices
            unwilling.settings["models.whole_file"] = "never"
            shutil.copy(self.tiny, has.models)
            cluster.start()
            self.assertEqual(has.run("tiny", PROMPT, 20), self.expected)
            self.assertEqual(sharing(cluster), [1])
            for device in (one, two):
                wait_for(f"{device.name} has it", lambda: (device.models / "tiny.gguf").exists())
                self.assertTrue(filecmp.cmp(self.tiny, device.models / "tiny.gguf", shallow=False))
                self.assertEqual(hidden(device), [])
            # Announced to all, the root as well.
            wait_for("three have it", lambda: holders(cluster.root(), "tiny") == 3)
            wait_for("no warnings", lambda: warnings(cluster.root().status()) == [])
            for device in cluster.devices:
                self.assertEqual(device.run("tiny", PROMPT, 20), self.expected)
            self.assertEqual(sharing(cluster)[-1], 3)
            self.assertEqual(list(unwilling.models.iterdir()), [])

            # Removed, it does not come back by itself; now it could not even be had from the first.
            self.assertEqual(one.shoal("rm", "tiny").stdout,
                             "tiny is removed; it stays in memory until it is unloaded, or "
                             "another needs the room.\n")
            self.assertEqual(has.shoal("rm", "tiny").returncode, 0)
            wait_for("known", lambda: holders(cluster.root(), "tiny") == 1)
            self.assertEqual(one.run("tiny", PROMPT, 20), self.expected)
            time.sleep(6)
            self.assertEqual(list(one.models.iterdir()), [])

    def test_a_split_model_comes_as_its_parts(self):
        parts = self.folder / "parts"
        parts.mkdir()
        make_model(parts / "parts.gguf", shape="tiny", type="f32", split=3)
        with Cluster(2, **FETCHING) as cluster:
            has, lacks = cluster.devices
            for part in parts.glob("parts-*-of-00003.gguf"):
                shutil.copy(part, has.models)
            cluster.start()
            expected = lacks.run("parts", PROMPT, 20)
            self.assertEqual(expected, self.expected)
            wait_for("it has them", lambda: len(list(lacks.models.glob("parts-*.gguf"))) == 3)
            for part in has.models.iterdir():
                self.assertTrue(filecmp.cmp(part, lacks.models / part.name, shallow=False))
            wait_for("known", lambda: holders(cluster.root(), "parts") == 2)
            self.assertEqual(lacks.run("parts", PROMPT, 20), expected)
            self.assertEqual(sharing(cluster)[-1], 2)

    def test_a_daemon_that_is_killed_goes_on_where_it_was(self):
        with self.fetching() as (has, lacks):
            wait_for("some of it", lambda: max(percents(lacks.log()), default=0) >= 30)
            lacks.kill()
            self.assertEqual(len(hidden(lacks)), 1)
            self.assertFalse((lacks.models / "slow.gguf").exists())
            before = len(lacks.log())
            lacks.start()
            # Without a plan: what was begun is finished.
            wait_for("it has it", lambda: (lacks.models / "slow.gguf").exists())
            self.assertTrue(filecmp.cmp(self.slow, lacks.models / "slow.gguf", shallow=False))
            self.assertGreaterEqual(percents(lacks.log()[before:])[0], 30)
            self.assertEqual(hidden(lacks), [])

    def test_while_an_answer_is_written_nothing_is_fetched(self):
        with self.fetching() as (has, lacks):
            wait_for("some of it", lambda: max(percents(lacks.log()), default=0) >= 10)
            stream = has.popen("run", "--raw", "slow", "--ignore-eos", "-n", 100_000, "--", "One day")
            stream.stdout.read(1)
            time.sleep(2)
            self.assertFalse((lacks.models / "slow.gguf").exists(), "too quick to say anything")
            here = percents(lacks.log())[-1]
            time.sleep(5)
            self.assertEqual(percents(lacks.log())[-1], here)
            self.assertIsNone(stream.poll())
            stream.terminate()
            stream.communicate()
            wait_for("it has it", lambda: (lacks.models / "slow.gguf").exists())

    def test_what_has_come_is_removed_by_rm(self):
        with self.fetching() as (has, lacks):
            wait_for("some of it", lambda: hidden(lacks))
            result = lacks.shoal("rm", "slow")
            self.assertEqual((result.returncode, result.stdout),
                             (0, "What had come of slow from another device is removed.\n"))
            time.sleep(6)
            self.assertEqual(list(lacks.models.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
