#!/usr/bin/env python3
"""Real daemons under churn: stopped, killed, frozen and cut off all the time, while every device is
asked for answers. Each request must end once and rightly, and the cluster be whole at the end.

  churn_test.py --seconds 600 --seed 7 --devices 4 --shoald build/daemon/shoald --shoal ...
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import cluster as programs  # noqa: E402
from cluster import Cluster, make_model, wait_for  # noqa: E402
from network import SKIPPED, Network, can_make_namespaces  # noqa: E402

DEMO = pathlib.Path(__file__).parents[2] / "packaging" / "demo" / "shoal-demo-q8_0.gguf"
PROMPTS = ["Once upon a time", "The moon was behind", "One day, a little fox", "In a small village",
           "It was raining and", "\"Where is my hat?\" asked", "A big dog", "She opened the door"]
TOKENS = 200
HTTP_PORT = 8090

# A request may be held up by everything that happens meanwhile, but not for ever.
REQUEST_SECONDS = 90.0

# What a daemon may have beyond what any had when all was calm (a root has more, and another may be
# it at the end), at the end and at any time: descriptors, threads, resident bytes.
MORE_AFTER = (8, 2, 48 << 20)
MORE_EVER = (128, 16, 96 << 20)


class Fault(Exception):
    """A request ended wrongly."""


class Lost(Exception):
    """A request ended with an error: right when its device went or was frozen, and only then."""


def ask_command(device, prompt):
    """The text by `shoal run`, from its events."""
    client = device.popen("--json", "--patience", int(REQUEST_SECONDS), "run", "--raw", "demo", "-n", TOKENS,
                          "--temperature", 0, "--ignore-eos", "--", prompt)
    try:
        out, err = client.communicate(timeout=REQUEST_SECONDS)
    except subprocess.TimeoutExpired:
        client.kill()
        out, _ = client.communicate()
        raise Fault(f"shoal run has not ended after {REQUEST_SECONDS} s; it printed "
                    f"{out.count('token')} tokens, at last: {out[-200:]}") from None
    events = [json.loads(line) for line in out.splitlines()]
    ends = [e for e in events if e["event"] in ("done", "error")]
    if len(ends) != 1 or events[-1] is not ends[0]:
        raise Fault(f"{len(ends)} ends, exit code {client.returncode}, stderr {err!r}")
    tokens = [e for e in events if e["event"] == "token"]
    if [t["index"] for t in tokens] != list(range(len(tokens))):
        raise Fault(f"tokens are numbered {[t['index'] for t in tokens]}")
    if ends[0]["event"] == "error":
        if client.returncode == 0 or not ends[0]["message"]:
            raise Fault(f"an error with exit code {client.returncode}: {ends[0]}")
        raise Lost(ends[0]["message"])
    if client.returncode != 0 or ends[0]["generated_tokens"] != TOKENS:
        raise Fault(f"exit code {client.returncode} after {ends[0]}")
    return "".join(t["text"] for t in tokens) + ends[0]["text"]


def ask_http(_, prompt):
    """The text by HTTP, streamed; the thread must be on the device's host."""
    connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=REQUEST_SECONDS)
    end = time.monotonic() + REQUEST_SECONDS
    text, reasons, finished = "", [], 0
    try:
        connection.request("POST", "/v1/completions", json.dumps(
            {"model": "demo", "prompt": prompt, "max_tokens": TOKENS, "temperature": 0,
             "ignore_eos": True, "stream": True}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Lost(f"HTTP {answer.status}: {json.loads(answer.read())['error']['message']}")
        for line in answer:
            if time.monotonic() > end:
                raise Fault(f"the stream has not ended after {REQUEST_SECONDS} s")
            if not line.startswith(b"data: "):
                continue
            if line[6:].strip() == b"[DONE]":
                finished += 1
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise Lost(event["error"]["message"])
            text += event["choices"][0]["text"]
            if event["choices"][0]["finish_reason"]:
                reasons.append(event["choices"][0]["finish_reason"])
    except TimeoutError:
        raise Fault(f"nothing came for {REQUEST_SECONDS} s; the text so far: {text!r}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Lost(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if finished == 0:
        raise Lost("the stream broke off")
    if finished != 1 or reasons != ["length"]:
        raise Fault(f"{finished} ends of the stream, reasons {reasons}")
    return text


class Churn:
    def __init__(self, cluster, network, seed):
        self.cluster = cluster
        self.network = network
        self.random = random.Random(seed)
        self.devices = cluster.devices
        # This one is never started anew: what leaks, leaks there.
        self.witness = self.devices[seed % len(self.devices)]
        self.lock = threading.Lock()
        self.down = {d.name: [] for d in self.devices}  # [from, until], until None: still
        self.busy = set()
        self.faults = []  # (seconds, text)
        self.actions = []
        self.answers = self.excused = 0
        self.ending = threading.Event()
        self.begun = time.monotonic()

    def fault(self, text):
        with self.lock:
            self.faults.append((time.time(), text))
        self.say(f"FAULT {text}")

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self.begun:6.1f}  {text}",
              flush=True)

    def was_down(self, device, since):
        """Whether the device was, at any time from then until now, stopped or not up again."""
        with self.lock:
            return any(until is None or until > since for _, until in self.down[device.name])

    # ---- requests

    def request(self, device, ask, prompt, expected):
        begin = time.monotonic()
        what = f"{device.name}, {ask.__name__} of {prompt!r} at {begin - self.begun:.1f}"
        try:
            text = ask(device, prompt)
            if text != expected:
                raise Fault(f"another text: {text!r} instead of {expected!r}")
            with self.lock:
                self.answers += 1
        except Lost as error:
            if self.was_down(device, begin):
                with self.lock:
                    self.excused += 1
            else:
                self.fault(f"{what}: an error although {device.name} was up: {error}")
        except Fault as error:
            self.fault(f"{what}: {error}")

    def client(self, number, expected, seed):
        """Asks one device for one thing after the other."""
        chance = random.Random(seed)
        device = self.devices[number]
        self.network.enter(number)
        while not self.ending.is_set():
            if self.was_down(device, time.monotonic()):
                time.sleep(0.1)
                continue
            prompt = chance.choice(list(expected))
            self.request(device, chance.choice([ask_command, ask_http]), prompt, expected[prompt])

    # ---- what is done to devices

    @contextlib.contextmanager
    def absence(self, device):
        """While it lasts, requests at this device may fail, and no new ones come."""
        interval = [time.monotonic(), None]
        with self.lock:
            self.down[device.name].append(interval)
        yield
        interval[1] = time.monotonic()

    def restart(self, device, ends, pause):
        with self.absence(device):
            ends(device)
            time.sleep(pause)
            begins = device.log().count("HTTP on")
            device.start()
            wait_for(f"{device.name} serves HTTP", lambda: device.log().count("HTTP on") > begins)
            wait_for(f"{device.name} is up", device.status)

    def stop(self, device):
        code = device.stop()
        if code != 0:
            self.fault(f"{device.name} ended with {code} after SIGTERM")

    def act(self, name, chosen, pause):
        """One action, in a thread of its own."""
        numbers = [self.devices.index(d) for d in chosen]
        device = chosen[0]
        try:
            if name == "stop":
                self.restart(device, self.stop, pause / 4)
            elif name == "kill":
                self.restart(device, type(device).kill, pause / 4)
            elif name == "freeze":
                with self.absence(device):
                    device.process.send_signal(signal.SIGSTOP)
                    time.sleep(pause)
                    device.process.send_signal(signal.SIGCONT)
            elif name == "cut":
                self.network.cut(numbers[0])
                time.sleep(pause)
                self.network.mend(numbers[0])
            else:
                self.network.part(numbers)
                time.sleep(pause)
                self.network.rejoin(numbers)
        except Exception as error:  # noqa: BLE001, a thread's
            self.fault(f"{name} of {device.name}: {type(error).__name__}: {error}")
        with self.lock:
            self.busy -= {d.name for d in chosen}

    def choose(self):
        """The next action: name, devices, for how long."""
        name = self.random.choice(["stop", "stop", "kill", "freeze", "cut", "part"])
        count = self.random.choice([1, 2]) if name == "part" else 1
        pause = self.random.uniform(1, 8)
        order = self.random.sample(self.devices, len(self.devices))
        with self.lock:
            free = [d for d in order if d.name not in self.busy and
                    not (d is self.witness and name in ("stop", "kill"))]
            chosen = free[:count]
            if len(chosen) < count:
                return None
            self.busy |= {d.name for d in chosen}
        return name, chosen, pause

    def watch(self, calm, highest):
        """No daemon may have ended by itself, and none may have grown."""
        for device in self.devices:
            if device.name in self.busy:
                continue
            if not device.alive():
                self.fault(f"{device.name} ended with {device.process.returncode}")
                continue
            now = usage(device)
            highest[device.name] = tuple(map(max, highest[device.name], now))
            self.check_growth(device.name, calm, now, MORE_EVER)

    def check_growth(self, name, before, now, allowed):
        for value, normal, more, what in zip(now, before, allowed,
                                             ("descriptors", "threads", "bytes resident")):
            if value > normal + more:
                self.fault(f"{name} has {value} {what}; none had more than {normal} when calm")

    def run(self, seconds, expected, calm, highest, every=2.0):
        clients = [threading.Thread(target=self.client, args=(i, expected, self.random.random()))
                   for i in range(len(self.devices))]
        for client in clients:
            client.start()
        actors = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.faults) < 10:
            chosen = self.choose()
            if chosen:
                name, devices, pause = chosen
                self.say(f"{name} {' '.join(d.name for d in devices)}, {pause:.1f} s; "
                         f"{self.answers} answers, {self.excused} lost with their device")
                self.actions.append(name)
                actors.append(threading.Thread(target=self.act, args=chosen))
                actors[-1].start()
            time.sleep(every)
            self.watch(calm, highest)
        for actor in actors:
            actor.join()
        self.ending.set()
        for client in clients:
            client.join()


def usage(device):
    return device.descriptors(), device.threads(), device.memory()


def ask_all(churn, expected):
    """Every prompt of every device, both ways; also what they hold when all is calm again."""
    def ask(number):
        churn.network.enter(number)
        for ways in (ask_command, ask_http):
            for prompt, text in expected.items():
                churn.request(churn.devices[number], ways, prompt, text)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(churn.devices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(2)
    return {d.name: usage(d) for d in churn.devices}


def undisturbed(cluster, model):
    """What one device answers alone, by prompt."""
    with Cluster(1, **{"models.collectives": "f32", "models.kv": "f32"}) as alone:
        shutil.copy(model, alone.devices[0].models)
        alone.start()
        return {prompt: ask_command(alone.devices[0], prompt) for prompt in PROMPTS}


def excerpt(cluster, when, before=4.0, after=2.0, lines=30):
    """What each device logged around then, or last before."""
    for device in cluster.devices:
        print(f"== {device.name}: {device.folder}/log")
        earlier, near = [], []
        for line in device.log().splitlines():
            stamp = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d+) ", line)
            if not stamp:
                continue
            then = time.mktime(time.strptime(stamp[1], "%Y-%m-%d %H:%M:%S"))
            then += float("0." + stamp[2])
            if then <= when + after:
                (near if then >= when - before else earlier).append(line)
        print("\n".join(near[-lines:] or earlier[-lines:]))


def churn_test(options):
    settings = {"models.collectives": "f32", "models.kv": "f32", "http.port": HTTP_PORT,
                "log.level": "debug" if options.debug else "info"}
    with Network(options.devices) as network, \
            Cluster(options.devices, network.prefixes(), **settings) as cluster:
        model = make_model(cluster.folder / "demo.gguf", **{"from": DEMO}, type="f32")
        expected = undisturbed(cluster, model)
        for device in cluster.devices:
            shutil.copy(model, device.models)
        cluster.start()
        churn = Churn(cluster, network, options.seed)
        highest = ask_all(churn, expected)
        calm = tuple(map(max, *highest.values()))
        churn.say(f"calm, {churn.answers} answers; {churn.witness.name} is never started anew")
        if not churn.faults:
            churn.run(options.seconds, expected, calm, highest)
        churn.say(f"{len(churn.actions)} actions done; {churn.answers} answers, {churn.excused} "
                  "lost with their device")
        try:
            cluster.wait_complete(cluster.devices)
            churn.say("one cluster again")
            after = ask_all(churn, expected)
            for name, now in after.items():
                print(f"{name}: descriptors, threads, KiB resident: any when calm {kib(calm)}, "
                      f"highest {kib(highest[name])}, at the end {kib(now)}")
                churn.check_growth(name, calm, now, MORE_AFTER)
        except AssertionError as error:
            churn.fault(str(error))
        if churn.faults:
            cluster.keep = True
            excerpt(cluster, churn.faults[0][0])
            print(f"seed {options.seed}: {len(churn.faults)} faults, the first around "
                  f"{time.strftime('%H:%M:%S', time.localtime(churn.faults[0][0]))}; logs are kept "
                  f"in {cluster.folder}")
            for _, text in churn.faults:
                print(f"  {text}")
            return 1
        print(f"seed {options.seed}: {churn.answers} answers, {churn.excused} lost with their "
              f"device, {len(churn.actions)} actions")
        return 0


def kib(use):
    return f"{use[0]} {use[1]} {use[2] >> 10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--debug", action="store_true", help="the daemons log at level debug")
    programs.add_options(parser)
    options = parser.parse_args()
    programs.use(options)
    if not can_make_namespaces():
        print("skipped: network namespaces cannot be made here (root and iproute2 are needed)")
        return SKIPPED
    print(f"seed {options.seed}, {options.devices} devices, {options.seconds} s")
    return churn_test(options)


if __name__ == "__main__":
    sys.exit(main())
