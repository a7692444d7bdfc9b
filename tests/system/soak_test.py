#!/usr/bin/env python3
"""Thousands of short requests in a row, several at a time over kept connections, a third of them
cancelled: afterwards two devices have what they had, and every other answer was the right one.

  soak_test.py --requests 10000 --shoald build/daemon/shoald --shoal build/cli/shoal
"""

import argparse
import http.client
import itertools
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import cluster as programs  # noqa: E402
from cluster import PATIENCE, Cluster, make_model, wait_for  # noqa: E402
from metrics_test import parse, value  # noqa: E402

PROMPTS = ["Once upon a time", "The moon", "One day, a fox", "In a village", "It was raining",
           "Where is my hat?", "A big dog", "She opened the door"]
TOKENS = 12
# What is cancelled would not end by itself before that is seen, nor fit together.
MANY_TOKENS = 900
CONTEXT = 1024

# Resident memory beyond what was there after the first tenth: malloc's, and the cache's pages that
# were not touched until then.
MORE_BYTES = 4 << 20

# For each three requests: two that are read to their end, one that is not.
KINDS = ["whole", "streamed", "left early", "whole", "streamed", "left streaming"]


class Client(threading.Thread):
    """Asks one device for one thing after the other, over a connection that stays while it can."""

    def __init__(self, device, numbers, expected, seed):
        super().__init__()
        self.port = device.http_port()
        self.numbers = numbers
        self.expected = expected
        self.random = random.Random(seed)
        self.connection = None
        self.ended = self.cancelled = self.connections = 0
        self.wrong = []

    def run(self):
        try:
            for number in self.numbers:
                self.ask(KINDS[number % len(KINDS)], self.random.choice(PROMPTS))
        except Exception as error:  # noqa: BLE001, a thread's
            self.wrong.append(f"{type(error).__name__}: {error}")
        self.leave()

    def leave(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, kind, prompt):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.connections += 1
        leaves = kind.startswith("left")
        self.connection.request("POST", "/v1/completions", json.dumps(
            {"model": "tiny", "prompt": prompt, "temperature": 0, "ignore_eos": True,
             "max_tokens": MANY_TOKENS if leaves else TOKENS, "stream": kind != "whole"}),
            {"Content-Type": "application/json"})
        if kind == "left early":
            time.sleep(self.random.uniform(0, 0.02))
        else:
            answer = self.connection.getresponse()
            if answer.status != 200:
                raise AssertionError(f"{kind}: HTTP {answer.status}: {answer.read()}")
            if kind == "left streaming":
                answer.readline()
            else:
                text = read_whole(answer) if kind == "whole" else read_stream(answer)
                self.ended += 1
                if self.expected.setdefault(prompt, text) != text:
                    self.wrong.append(f"{kind}, {prompt!r}: {text!r} instead of "
                                      f"{self.expected[prompt]!r}")
        if leaves:
            self.cancelled += 1
            self.leave()


def read_whole(answer):
    return json.loads(answer.read())["choices"][0]["text"]


def read_stream(answer):
    text, ends = "", 0
    for line in answer:
        if line.strip() == b"data: [DONE]":
            ends += 1
        elif line.startswith(b"data: "):
            text += json.loads(line[6:])["choices"][0]["text"]
    if ends != 1:
        raise AssertionError(f"{ends} ends of a stream")
    return text


class Soak:
    def __init__(self, cluster, clients, seed):
        self.devices = cluster.devices
        self.clients = clients
        self.random = random.Random(seed)
        self.expected = {}
        self.ended = self.cancelled = self.connections = 0
        self.faults = []

    def run(self, count):
        """So many requests, shared out among the clients; returns when nothing runs any more."""
        numbers = iter(range(count))
        lock = threading.Lock()

        def shared():
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                yield number
        clients = [Client(device, shared(), self.expected, self.random.random())
                   for device in itertools.islice(itertools.cycle(self.devices), self.clients)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
            self.ended += client.ended
            self.cancelled += client.cancelled
            self.connections += client.connections
            self.faults += client.wrong
        for device in self.devices:
            wait_for(f"{device.name} has no request left", lambda d=device: self.idle(d))

    def metrics(self, device):
        return parse(device.http("GET", "/metrics")[2])

    def idle(self, device):
        now = self.metrics(device)
        return all(value(now, name) == 0 for name in (
            "shoal_requests_active", "vllm:num_requests_running", "vllm:num_requests_waiting",
            "vllm:kv_cache_usage_perc"))

    def outcomes(self):
        """How requests ended, on all devices."""
        out = {}
        for device in self.devices:
            for (_, labels), count in self.metrics(device)["shoal_requests_total"][1].items():
                outcome = next(iter(labels))[len('outcome="'):-1]
                out[outcome] = out.get(outcome, 0) + count
        return {outcome: int(count) for outcome, count in out.items() if count}

    def begun(self):
        """Requests that got a token, on all devices."""
        return int(sum(value(self.metrics(d), "vllm:time_to_first_token_seconds_count",
                             model_name="tiny") for d in self.devices))

    def usage(self):
        return {d.name: (d.descriptors(), d.threads(), d.memory()) for d in self.devices}

    def check(self, calm):
        """Descriptors and threads are those of `calm` again, memory within its bound."""
        for device in self.devices:
            descriptors, threads, memory = calm[device.name]
            try:
                wait_for(f"{device.name} has {descriptors} descriptors and {threads} threads",
                         lambda d=device: (d.descriptors(), d.threads()) == (descriptors, threads))
            except AssertionError as error:
                self.faults.append(f"{error}, but {device.descriptors()} and {device.threads()}")
            now = device.memory()
            print(f"{device.name}: {descriptors} descriptors, {threads} threads; resident "
                  f"{memory >> 10} KiB after the first tenth, {now >> 10} KiB at the end")
            if now > memory + MORE_BYTES:
                self.faults.append(f"{device.name} has {now - memory} bytes more than after the "
                                   f"first tenth; allowed are {MORE_BYTES}")

    def check_cache(self):
        """An answer as long as the context needs every block of the cache."""
        for device in self.devices:
            _, _, text = device.http("POST", "/v1/completions", {
                "model": "tiny", "prompt": "x", "temperature": 0, "ignore_eos": True,
                "max_tokens": CONTEXT})
            usage = json.loads(text)["usage"]
            if usage["total_tokens"] < CONTEXT - 1:
                self.faults.append(f"the longest answer has {usage} of a context of {CONTEXT}")


def soak_test(options):
    # One device's sums are another's in any batch only when nothing is rounded on the way.
    with Cluster(2, **{"cluster.suspect_ms": 5000, "cluster.dead_ms": 20000,
                       "models.collectives": "f32", "models.kv": "f32", "models.parallel": 4,
                       "models.queue": 256, "models.context": CONTEXT}) as cluster:
        for device in cluster.devices:
            make_model(device.models / "tiny.gguf", shape="tiny", type="f32", context=CONTEXT)
        cluster.start()
        soak = Soak(cluster, options.clients, options.seed)
        begun = time.monotonic()
        soak.run(options.requests // 10)
        calm = soak.usage()
        soak.run(options.requests - options.requests // 10)
        seconds = time.monotonic() - begun
        outcomes = soak.outcomes()
        early = options.requests - soak.begun()
        print(f"{soak.ended} answers, {soak.cancelled} cancelled, {early} of these before their "
              f"first token, over {soak.connections} connections in {seconds:.1f} s; as the "
              f"devices count them: {outcomes}")
        soak.check(calm)
        soak.check_cache()
        if soak.ended + soak.cancelled != options.requests:
            soak.faults.append("requests are missing")
        if set(outcomes) - {"length", "cancelled"}:
            soak.faults.append("requests ended otherwise than in a whole answer or cancelled")
        # That a client has left is seen before its request began, or after its answer was whole.
        more = outcomes.get("length", 0) - soak.ended
        if not 0 <= more <= soak.cancelled // 10:
            soak.faults.append("other answers are counted than came")
        if outcomes.get("cancelled", 0) < soak.cancelled // 2 or early < soak.cancelled // 10:
            soak.faults.append("hardly any request was cancelled, or none that waited")
        for fault in soak.faults[:10]:
            print(f"FAULT {fault}")
        if soak.faults:
            cluster.keep = True
            print(f"{len(soak.faults)} faults, seed {options.seed}; logs are kept in "
                  f"{cluster.folder}")
        return 1 if soak.faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int,
                        default=int(os.environ.get("SOAK_REQUESTS", "2000")))
    parser.add_argument("--clients", type=int, default=24, help="that ask at the same time")
    parser.add_argument("--seed", type=int, default=7)
    programs.add_options(parser)
    options = parser.parse_args()
    programs.use(options)
    return soak_test(options)


if __name__ == "__main__":
    sys.exit(main())
