"""Many clients at one device: each has its turn, its limit, and hears where it stands."""

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


class FairTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-fair-"))
        # So slow that an answer without end outlasts what a test does meanwhile.
        cls.model = make_model(cls.folder / "m.gguf", shape="small", layers=6, vocab=4000,
                               type="f32")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def device(self, **settings):
        """A cluster of one that computes one answer at a time."""
        cluster = Cluster(1, **{"models.parallel": 1, **settings})
        shutil.copy(self.model, cluster.devices[0].models)
        return cluster

    def connect(self, device, source="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", device.http_port(), timeout=PATIENCE,
                                                source_address=(source, 0))
        self.addCleanup(connection.close)
        return connection

    def ask(self, device, body, source="127.0.0.1", path="/v1/completions"):
        """(status, headers, text)"""
        connection = self.connect(device, source)
        connection.request("POST", path, json.dumps({"model": "m", **body}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()

    def stream(self, device, body, source="127.0.0.1"):
        """Ends an answer that has begun."""
        connection = self.connect(device, source)
        connection.request("POST", "/v1/completions",
                           json.dumps({"model": "m", "stream": True, **body}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        line = answer.readline()
        while not line.startswith(b"data: "):
            line = answer.readline()

        def end():
            answer.close()
            connection.close()
        return end

    def test_a_flood_does_not_hold_up_another_client(self):
        with self.device(**{"models.queue": 64}) as cluster:
            device = cluster.start().devices[0]
            ended = []

            def one(name, source, **body):
                status, _, text = self.ask(
                    device, {"prompt": name, "max_tokens": 4, "ignore_eos": True, **body}, source)
                ended.append(name if status == 200 else text)
            end = self.stream(device, {"prompt": "x", "max_tokens": -1, "ignore_eos": True})
            flood = [threading.Thread(target=one, args=(f"flood {i}", "127.0.0.1"))
                     for i in range(40)]
            for thread in flood:
                thread.start()
            wait_for("the flood waits", lambda: device.status()["queued"] == 40)
            others = [threading.Thread(target=one, args=("quiet", "127.0.0.2")),
                      threading.Thread(target=one, args=("late", "127.0.0.3"),
                                       kwargs={"priority": 1})]
            for thread in others:
                thread.start()
            wait_for("all wait", lambda: device.status()["queued"] == 42)
            self.assertEqual(ended, [])
            end()
            for thread in flood + others:
                thread.join(PATIENCE)
            self.assertEqual(len(ended), 42)
            self.assertEqual(sorted(ended)[-2:], ["late", "quiet"])
            # Answers may reach this process in another order than they ended in.
            self.assertLess(ended.index("quiet"), 4, ended)
            self.assertGreater(ended.index("late"), 37, ended)

    def test_a_client_has_a_limit_of_its_own(self):
        with self.device(**{"http.client_requests": 2}) as cluster:
            device = cluster.start().devices[0]
            long = {"prompt": "x", "max_tokens": -1, "ignore_eos": True}
            end = self.stream(device, long)
            second = self.connect(device)
            second.request("POST", "/v1/completions", json.dumps({"model": "m", **long}),
                           {"Content-Type": "application/json"})
            wait_for("the second waits", lambda: device.status()["queued"] == 1)
            short = {"prompt": "x", "max_tokens": 1}
            status, headers, text = self.ask(device, short)
            self.assertEqual(status, 429, text)
            self.assertIn(int(headers["Retry-After"]), range(1, 61))
            self.assertEqual(json.loads(text)["error"]["code"], "rate_limit_exceeded")
            status, _, text = self.ask(device, {
                "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
                path="/v1/messages")
            self.assertEqual((status, json.loads(text)["error"]["type"]), (429, "rate_limit_error"))
            status, _, text = self.ask(device, {"prompt": "x"}, path="/api/generate")
            self.assertEqual(status, 429)
            self.assertIsInstance(json.loads(text)["error"], str)
            # Another one is let in, and has its turn before the first one's second.
            end()
            self.assertEqual(self.ask(device, short, "127.0.0.2")[0], 200)
            second.close()
            wait_for("there is room again", lambda: self.ask(device, short)[0] == 200)

    def test_who_waits_is_told_its_place(self):
        with self.device() as cluster:
            device = cluster.start().devices[0]
            device.run("m", "x", 4)  # From then on it is known how long answers take.
            end = self.stream(device, {"prompt": "x", "max_tokens": -1, "ignore_eos": True})
            told = []

            def follow(client):
                for line in client.stdout:
                    event = json.loads(line)
                    if event["event"] == "progress":
                        told.append(event["what"])
            clients = [device.popen("--json", "run", "--raw", "m", "-n", 2, "--priority", i, "--",
                                    "x") for i in range(2)]
            threads = [threading.Thread(target=follow, args=(c,)) for c in clients]
            for thread in threads:
                thread.start()
            for place in ("1st", "2nd"):
                wait_for(f"the {place} is told", lambda: any(
                    t.startswith(f"{place} in the queue, about ") for t in told))
            # Streams have it as comments.
            connection = self.connect(device, "127.0.0.2")
            connection.request("POST", "/v1/completions", json.dumps(
                {"model": "m", "prompt": "x", "max_tokens": 1, "stream": True, "priority": 2}),
                {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.assertRegex(answer.readline().decode(), r"^: 3rd in the queue, about \d+ s")
            end()
            for client, thread in zip(clients, threads):
                self.assertEqual(client.wait(PATIENCE), 0)
                thread.join(PATIENCE)
                client.stdout.close()
                client.stderr.close()
            self.assertIn(b"[DONE]", answer.read())


if __name__ == "__main__":
    unittest.main()
