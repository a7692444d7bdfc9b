"""Several real daemons on one machine: one cluster, one answer, whatever is lost on the way."""

import http.client
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, Device, PATIENCE, make_model, wait_for  # noqa: E402

EXACT = {"models.collectives": "f32", "models.kv": "f32"}


def slow_model(path):
    """Some hundred tokens of it take seconds, so that something can happen meanwhile."""
    return make_model(path, shape="small", layers=6, vocab=4000, type="f32")


class ClusterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        cls.slow = slow_model(cls.folder / "slow.gguf")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_three_devices_answer_like_one_from_each_of_them(self):
        with Cluster(1, **EXACT) as alone:
            alone.start()
            expected = alone.devices[0].run(self.tiny, "The sea", 40)
        with Cluster(3, **EXACT) as cluster:
            # Only one device has the file.
            shutil.copy(self.tiny, cluster.devices[1].models)
            cluster.start()
            for device in cluster.devices:
                self.assertEqual(device.run("tiny", "The sea", 40), expected)
            status = cluster.root().status()
            self.assertEqual(sorted(d["rank"] for d in status["devices"]), [0, 1, 2])
            heads = sum(d["q_heads"][1] - d["q_heads"][0] for d in status["devices"])
            self.assertEqual(heads, 8)

    def test_more_devices_than_kv_heads(self):
        with Cluster(6, **EXACT) as cluster:
            shutil.copy(self.tiny, cluster.devices[0].models)
            cluster.start()
            text = cluster.devices[5].run("tiny", "The sea", 20)
        with Cluster(1, **EXACT) as alone:
            alone.start()
            self.assertEqual(alone.devices[0].run(self.tiny, "The sea", 20), text)

    def test_prompts_shared_out_by_tokens(self):
        prompt = "The sea and the wind and the long way home. " * 12
        with Cluster(1, **EXACT) as alone:
            alone.start()
            expected = alone.devices[0].run(self.tiny, prompt, 20)
        with Cluster(3, **EXACT, **{"models.prefill": "sequence"}) as cluster:
            # One device has its heads alone, and no tokens.
            for device in cluster.devices[::2]:
                shutil.copy(self.tiny, device.models)
            cluster.start()
            for device in cluster.devices:
                self.assertEqual(device.run("tiny", prompt, 20), expected)
            self.assertIn("are shared out by tokens", cluster.root().log())

    def test_devices_hold_their_shares_and_nothing_more(self):
        with Cluster(3) as cluster:
            shutil.copy(self.slow, cluster.devices[0].models)
            cluster.start()
            before = [d.memory("RssAnon") for d in cluster.devices]
            self.assertEqual(cluster.devices[0].shoal("load", "slow").returncode, 0)
            status = {d["name"]: d for d in cluster.root().status()["devices"]}
            for device, base in zip(cluster.devices, before):
                planned = status[device.name]["planned_weight_bytes"]
                self.assertEqual(status[device.name]["weight_bytes"], planned)
                grown = device.memory("RssAnon") - base
                print(f"{device.name}: planned {planned}, anonymous memory grew by {grown}")
                # Activation buffers come on top; they are small beside these weights.
                self.assertGreater(grown, 0.9 * planned)
                self.assertLess(grown, 1.1 * planned + (24 << 20))

    def test_another_key_stays_outside(self):
        with Cluster(2) as cluster, Cluster(1) as stranger:
            stranger.devices[0].settings["cluster.beacon_port"] = cluster.beacon_port
            stranger.start()
            cluster.start()
            time.sleep(1.5)
            self.assertEqual(len(stranger.devices[0].status()["devices"]), 1)
            self.assertEqual(len(cluster.devices[0].status()["devices"]), 2)

    def interrupted_run(self, cluster, client, victim):
        """Kill `victim` while `client` streams; the whole text."""
        stream = client.popen("run", "--raw", "slow", "-n", 120, "--temperature", 0, "--ignore-eos", "--",
                              "One day")
        with stream:
            text = stream.stdout.read(1)
            victim.kill()
            text += stream.stdout.read()
            errors = stream.stderr.read()
        self.assertEqual(stream.returncode, 0, errors)
        return text, errors

    def test_a_lost_member_costs_a_pause(self):
        with Cluster(3, **EXACT) as cluster:
            for device in cluster.devices:
                shutil.copy(self.slow, device.models)
            cluster.start()
            root = cluster.root()
            others = [d for d in cluster.devices if d is not root]
            expected = root.run("slow", "One day", 120, "--ignore-eos")
            text, errors = self.interrupted_run(cluster, root, others[0])
            self.assertEqual(text.removesuffix("\n"), expected)
            self.assertIn("120 tokens", errors)
            cluster.wait_complete([root, others[1]])

    def test_a_lost_root_costs_a_pause(self):
        with Cluster(3, **EXACT) as cluster:
            for device in cluster.devices:
                shutil.copy(self.slow, device.models)
            cluster.start()
            root = cluster.root()
            others = [d for d in cluster.devices if d is not root]
            expected = others[0].run("slow", "One day", 120, "--ignore-eos")
            text, errors = self.interrupted_run(cluster, others[0], root)
            self.assertEqual(text.removesuffix("\n"), expected)
            self.assertIn("120 tokens", errors)

    def test_a_device_that_comes_back_takes_part_again(self):
        with Cluster(2) as cluster:
            shutil.copy(self.tiny, cluster.devices[0].models)
            shutil.copy(self.tiny, cluster.devices[1].models)
            cluster.start()
            first, second = cluster.devices
            identity = second.status()["self"]
            second.kill()
            cluster.wait_complete([first])
            first.run("tiny", "x", 4)
            second.start()
            cluster.wait_complete([first, second])
            self.assertEqual(second.status()["self"], identity)
            second.run("tiny", "x", 4)
            self.assertEqual({d["rank"] for d in first.status()["devices"]}, {0, 1})

    def test_ctrl_c_cancels_and_the_next_request_runs(self):
        with Cluster(2) as cluster:
            shutil.copy(self.slow, cluster.devices[0].models)
            cluster.start()
            stream = cluster.devices[1].popen("run", "--raw", "slow", "--ignore-eos", "--", "One day")
            stream.stdout.read(1)
            stream.send_signal(2)
            stream.communicate(timeout=PATIENCE)
            self.assertEqual(stream.returncode, 130)
            wait_for("nothing runs", lambda: cluster.root().status()["running"] == 0)
            cluster.devices[0].run("slow", "Hello", 3)

    def test_what_goes_wrong_is_said(self):
        with Cluster(1) as cluster:
            device = cluster.start().devices[0]
            broken = self.folder / "broken.gguf"
            broken.write_bytes(b"GGUF" + bytes(20))
            for arguments, code, text in [
                (("run", "absent", "x"), 4, "absent"),
                (("run", str(broken), "x"), 4, "broken.gguf"),
                (("run", str(self.folder / "absent.gguf"), "x"), 4, "absent.gguf"),
                (("run", "--raw", str(self.tiny), "word " * 5000), 1, "context"),
            ]:
                result = device.shoal(*arguments)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(text, result.stderr)
            # The daemon is none the worse for it.
            device.run(self.tiny, "x", 2)
            self.assertEqual(device.stop(), 0)

    def test_an_odd_or_long_prompt_works(self):
        with Cluster(2) as cluster:
            shutil.copy(self.tiny, cluster.devices[0].models)
            cluster.start()
            for prompt in ["\u4f60\u597d \u2603 \U0001f600", "\t\n  ", "a" * 300, "<|endoftext|>"]:
                cluster.devices[1].run("tiny", prompt, 3)

    def test_activations_travel_as_the_settings_say(self):
        texts = set()
        for transport, encrypt, ciphers in (
                ("zmtp", "data", {"AES-256-OCB", "AES-256-GCM", "ChaCha20-Poly1305"}),
                ("zmtp", "control", {"none"}),
                ("libzmq", "data", {"CURVE"}),
                ("libzmq", "control", {"none"})):
            with self.subTest(transport=transport, encrypt=encrypt), Cluster(2, **EXACT, **{
                    "cluster.data_transport": transport,
                    "cluster.encrypt": encrypt}) as cluster:
                shutil.copy(self.tiny, cluster.devices[0].models)
                cluster.start()
                texts.add(cluster.devices[1].run("tiny", "The sea", 10))
                for device in cluster.devices:
                    links = [d["link"] for d in device.status()["devices"] if d.get("link")]
                    self.assertEqual(len(links), 1, device.name)
                    self.assertEqual(links[0]["transport"], transport)
                    self.assertIn(links[0]["cipher"], ciphers)
                    self.assertGreater(links[0]["received_bytes"], 1000)
        self.assertEqual(len(texts), 1)

    def test_two_daemons_do_not_share_a_control_socket(self):
        with Cluster(1) as cluster:
            first = cluster.start().devices[0]
            second = Device(cluster, 2, {"control.socket": first.socket})
            second.start()
            self.assertNotEqual(second.process.wait(PATIENCE), 0)
            self.assertIn("another shoald", second.log())


class CpuTest(unittest.TestCase):
    """The instruction set: chosen by flag or environment, shown wherever devices are."""

    @staticmethod
    def shoald(*flags, **environment):
        return subprocess.run([os.environ["SHOALD"], *flags], capture_output=True, text=True,
                              env={**os.environ, **environment}, timeout=PATIENCE)

    def test_it_is_shown_without_starting_anything(self):
        chosen = json.loads(self.shoald("--cpu", "--json").stdout)
        here = [s["name"] for s in chosen["instruction_sets"] if s["here"]]
        self.assertIn(chosen["cpu"], here)
        for name in here:
            shown = json.loads(self.shoald("--cpu", "--json", SHOAL_DEVICE_CPU=name).stdout)
            self.assertEqual(shown["cpu"], name)
        text = self.shoald("--cpu", "--device.threads=3")
        self.assertEqual(text.returncode, 0)
        self.assertRegex(text.stdout, rf"{chosen['cpu']} +chosen\n")
        self.assertRegex(text.stdout, r"Threads +3 ")

    def test_one_that_cannot_be_had_is_refused_at_the_start(self):
        for flags in [[], ["--check"], ["--cpu"]]:
            refused = self.shoald(*flags, SHOAL_DEVICE_CPU="sse9")
            self.assertEqual(refused.returncode, 2)
            self.assertIn('"sse9"', refused.stderr)
            self.assertIn("use one of auto, ref", refused.stderr)

    def test_every_device_tells_the_others_its_own(self):
        with Cluster(2) as cluster:
            cluster.devices[1].settings["device.cpu"] = "ref"
            cluster.start()
            best = json.loads(self.shoald("--cpu", "--json").stdout)["cpu"]
            for device in cluster.devices:
                shown = {d["name"]: d["cpu"] for d in device.status()["devices"]}
                self.assertEqual(sorted(shown.values()), sorted([best, "ref"]))
                text = device.shoal("status").stdout
                self.assertRegex(text, r"\bref x1\b")
                _, _, body = device.http("GET", "/v1/cluster")
                served = {d["name"]: d["cpu"] for d in json.loads(body)["devices"]}
                self.assertEqual(served, shown)


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(2, **EXACT, **{"models.queue": 2})
        make_model(cls.cluster.devices[0].models / "tiny.gguf", shape="tiny", type="f32")
        slow_model(cls.cluster.devices[0].models / "slow.gguf")
        cls.cluster.start()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def test_a_completion_is_what_the_command_line_gives(self):
        for device in self.cluster.devices:
            expected = device.run("tiny", "The sea", 20)
            status, _, text = device.http("POST", "/v1/completions", {
                "model": "tiny", "prompt": "The sea", "max_tokens": 20, "temperature": 0})
            self.assertEqual(status, 200, text)
            answer = json.loads(text)
            self.assertEqual(answer["choices"][0]["text"].rstrip("\n"), expected)
            self.assertIn(answer["choices"][0]["finish_reason"], ("length", "stop"))
            self.assertLessEqual(answer["usage"]["completion_tokens"], 20)
            self.assertGreater(answer["usage"]["prompt_tokens"], 0)

    def test_a_stream_adds_up_to_the_whole(self):
        device = self.cluster.devices[1]
        request = {"model": "tiny", "prompt": "The sea", "max_tokens": 20, "temperature": 0}
        whole = json.loads(device.http("POST", "/v1/completions", request)[2])
        status, headers, text = device.http("POST", "/v1/completions", {**request, "stream": True})
        self.assertEqual(status, 200)
        self.assertIn("text/event-stream", headers["Content-Type"])
        events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        self.assertEqual(events[-1], "[DONE]")
        streamed = "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1])
        self.assertEqual(streamed, whole["choices"][0]["text"])

    def test_tokens_there_and_back(self):
        for device in self.cluster.devices:
            status, _, text = device.http("POST", "/tokenize",
                                          {"model": "tiny", "content": "Hello sea"})
            self.assertEqual(status, 200, text)
            status, _, text = device.http("POST", "/detokenize",
                                          {"model": "tiny", "tokens": json.loads(text)["tokens"]})
            self.assertEqual(status, 200, text)
            self.assertTrue(json.loads(text)["content"].endswith("Hello sea"))

    def test_the_cluster_is_shown(self):
        device = self.cluster.devices[0]
        device.run("tiny", "x", 1)
        answer = json.loads(device.http("GET", "/v1/cluster")[2])
        self.assertEqual(len(answer["devices"]), 2)
        models = json.loads(device.http("GET", "/v1/models")[2])
        self.assertEqual({m["id"] for m in models["data"]}, {"tiny", "slow"})
        self.assertEqual(device.http("GET", "/health")[0], 200)

    def test_a_path_is_refused(self):
        status, _, _ = self.cluster.devices[0].http(
            "POST", "/v1/completions", {"model": "/etc/passwd", "prompt": "x"})
        self.assertIn(status, (400, 403))

    def test_a_full_queue_says_when_to_come_again(self):
        device = self.cluster.devices[0]
        body = json.dumps({"model": "slow", "prompt": "x", "max_tokens": 3000, "stream": True})
        clients = []

        def busy():
            client = http.client.HTTPConnection("127.0.0.1", device.http_port(), timeout=PATIENCE)
            clients.append(client)
            client.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            if not select.select([client.sock], [], [], 0.2)[0]:
                return False  # It waits.
            answer = client.getresponse()
            return answer.status == 503 and "Retry-After" in answer.headers
        try:
            wait_for("the queue is full", busy)
        finally:
            for client in clients:
                client.close()
        wait_for("nothing runs", lambda: device.status()["running"] == 0)

    def test_a_client_that_goes_away_cancels(self):
        device = self.cluster.devices[1]
        import socket
        body = json.dumps({"model": "slow", "prompt": "x", "max_tokens": 3000, "stream": True})
        with socket.create_connection(("127.0.0.1", device.http_port())) as s:
            s.sendall((f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                       f"{body}").encode())
            received = b""
            while b"data: " not in received:
                more = s.recv(4096)
                self.assertTrue(more, received)
                received += more
        wait_for("nothing runs", lambda: self.cluster.root().status()["running"] == 0)


class ReferenceTest(unittest.TestCase):
    def test_real_daemons_write_the_reference_text(self):
        reference = os.environ.get("SHOAL_REFERENCE")
        if not reference:
            self.skipTest("SHOAL_REFERENCE is not set")
        path = pathlib.Path(reference) / "models" / "stories260K-f32.gguf"
        golden = json.loads((pathlib.Path(reference) / "golden" / "stories260K-f32.json").read_text())
        for devices in (3, 5):
            with Cluster(devices, **EXACT) as cluster:
                shutil.copy(path, cluster.devices[0].models)
                cluster.start()
                client = cluster.devices[-1]
                for run in golden["runs"]:
                    result = client.shoal("--json", "run", "--raw", "stories260K-f32", "-n", 128,
                                          "--temperature", 0, "--ignore-eos", "--", run["prompt"])
                    self.assertEqual(result.returncode, 0, result.stderr)
                    events = [json.loads(line) for line in result.stdout.splitlines()]
                    ids = [e["id"] for e in events if e.get("event") == "token"]
                    self.assertEqual(ids, run["generated_ids"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
