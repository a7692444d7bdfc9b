"""Many requests at once, and prompts whose beginning was computed before, on two devices."""

import http.client
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, make_model, wait_for  # noqa: E402


class TogetherTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-together-"))
        cls.model = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def two_devices(self, **settings):
        cluster = Cluster(2, **settings)
        for device in cluster.devices:
            shutil.copy(self.model, device.models / "tiny.gguf")
        return cluster

    def ask(self, device, body):
        status, _, text = device.http("POST", "/v1/chat/completions", {"model": "tiny", **body})
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def metric(self, device, name):
        _, _, text = device.http("GET", "/metrics")
        return next(float(line.split()[-1]) for line in text.splitlines()
                    if line.startswith(name) and not line.startswith("#"))

    def test_the_second_turn_of_a_chat_computes_what_is_new(self):
        with self.two_devices() as cluster:
            cluster.start()
            device = cluster.root()
            turns = [{"role": "user", "content": "Tell me of the sea, and of all that swims in it."}]
            options = {"max_tokens": 20, "temperature": 0}
            first = self.ask(device, {"messages": turns, **options})
            self.assertEqual(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
            turns.append({"role": "assistant",
                          "content": first["choices"][0]["message"]["content"] or ""})
            turns.append({"role": "user", "content": "And of the shore?"})
            # On the other device, as the root has them for all.
            other = next(d for d in cluster.devices if d is not device)
            second = self.ask(other, {"messages": turns, **options})
            usage = second["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            self.assertGreater(cached, first["usage"]["prompt_tokens"] // 2)
            self.assertLess(cached, usage["prompt_tokens"])
            self.assertEqual(second["timings"]["cache_n"], cached)
            self.assertEqual(second["timings"]["prompt_n"], usage["prompt_tokens"] - cached)
            self.assertEqual(self.metric(other, "vllm:prefix_cache_hits_total"), cached)
            # What was found gives what is computed: another cluster has not seen the first turn.
            with self.two_devices() as fresh:
                fresh.start()
                alone = self.ask(fresh.root(), {"messages": turns, **options})
            self.assertEqual(alone["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
            self.assertEqual(alone["choices"][0]["message"], second["choices"][0]["message"])

    def stream(self, device, body, out):
        """The text of a streamed chat, and how it ended."""
        connection = http.client.HTTPConnection("127.0.0.1", device.http_port(), timeout=PATIENCE)
        connection.request("POST", "/v1/chat/completions",
                           json.dumps({"model": "tiny", "stream": True, **body}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text, reason = "", None
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            choice = json.loads(line[6:])["choices"][0]
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
        connection.close()
        out.append((text, reason))

    def test_four_chats_at_once_end_in_a_cache_too_small_for_them(self):
        # Four blocks of 128 positions; each chat comes to take three, so two that begin with one
        # cannot both end.
        with self.two_devices(**{"models.context": 512}) as cluster:
            cluster.start()
            bodies = [{"messages": [{"role": "user", "content": f"{i}: once upon a time " * 4}],
                       "max_tokens": 250, "temperature": 0, "ignore_eos": True} for i in range(4)]
            outs = [[] for _ in bodies]
            threads = [threading.Thread(target=self.stream, args=(cluster.devices[i % 2], body, out))
                       for i, (body, out) in enumerate(zip(bodies, outs))]
            # Once the model is loaded they wait for room alone.
            self.ask(cluster.root(), {"messages": bodies[0]["messages"], "max_tokens": 1})
            for thread in threads:
                thread.start()
            wait_for("some wait for room", lambda: self.metric(
                cluster.root(), "vllm:num_requests_waiting") > 0)
            for thread in threads:
                thread.join(PATIENCE)
            self.assertGreater(self.metric(cluster.root(), "vllm:num_preemptions_total"), 0)
            for body, out in zip(bodies, outs):
                self.assertEqual(len(out), 1)
                alone = self.ask(cluster.root(), body)["choices"][0]
                self.assertEqual(out[0], (alone["message"]["content"] or "",
                                          alone["finish_reason"]))


if __name__ == "__main__":
    unittest.main()
