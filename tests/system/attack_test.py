#!/usr/bin/env python3
"""A stranger attacks a cluster that answers: the answer goes on, nothing grows, devices can join.

  attack_test.py --connections 20000 --seconds 20 --shoald build/daemon/shoald --shoal ...
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import cluster as programs  # noqa: E402
from cluster import Cluster, make_model, wait_for  # noqa: E402
from network import SKIPPED, Network, can_make_namespaces, ip  # noqa: E402
from stranger import SOURCES  # noqa: E402

HERE = pathlib.Path(__file__).parent
TOKENS = 1000
PER_STRANGER = 5000

# What the machines of a test are noisy by. The aim is a second.
LONGEST_GAP_SECONDS = 3.0
STATUS_SECONDS = 10.0

# What the attacked daemon may have beyond what it had before: in an attack, and afterwards.
MORE_DESCRIPTORS, MORE_BYTES = 4096, 128 << 20
MORE_DESCRIPTORS_AFTER, MORE_BYTES_AFTER = 32, 64 << 20
MORE_LOG_BYTES = 1 << 20
SETTLE_SECONDS = 60.0


class Stream:
    """One answer after the other from a device, and when each token came."""

    def __init__(self, device):
        self.device = device
        self.text = device.run("small", "One day", TOKENS, "--ignore-eos")
        self.over = threading.Event()
        self.longest = 0.0
        self.last = None  # when the running answer's last token came
        self.tokens = 0
        self.wrong = []
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while not self.over.is_set():
            client = self.device.popen("--json", "run", "--raw", "small", "-n", TOKENS, "--temperature", 0,
                                       "--ignore-eos", "--", "One day")
            with client:
                text = ""
                for line in client.stdout:
                    event = json.loads(line)
                    if event["event"] == "token":
                        self.longest = max(self.longest, self.gap())
                        self.last = time.monotonic()
                        text += event["text"]
                        self.tokens += 1
                    elif event["event"] == "done":
                        text += event["text"]
                    elif event["event"] == "error":
                        self.wrong.append(event["message"])
                    if self.over.is_set():
                        client.terminate()
                        return
            self.last = None
            if client.returncode != 0 or text.removesuffix("\n") != self.text:
                self.wrong.append(f"exit code {client.returncode}, {len(text)} bytes of text")
                return

    def gap(self):
        last = self.last
        return 0.0 if last is None else time.monotonic() - last

    def take(self):
        """(longest gap, tokens) since the last call; a gap may go on."""
        taken = max(self.longest, self.gap()), self.tokens
        self.longest, self.tokens = 0.0, 0
        return taken

    def end(self):
        self.over.set()
        self.thread.join()


def listening(device):
    """The TCP ports on which a process's namespace listens."""
    ports = set()
    for table in ("tcp", "tcp6"):
        lines = pathlib.Path(f"/proc/{device.process.pid}/net/{table}").read_text().splitlines()
        ports |= {int(line.split()[1].rsplit(":", 1)[1], 16) for line in lines[1:]
                  if line.split()[3] == "0A"}
    return sorted(ports)


def by_port(mode, count, host, ports):
    """Strangers that together open so many connections to each port; one process has not enough
    descriptors for all."""
    return [(mode, min(PER_STRANGER, count - first), host, port)
            for port in ports for first in range(0, count, PER_STRANGER)]


def attacks(cluster, target, count):
    """What is done, as it fits the ports of now: (name, the strangers' arguments)."""
    host = target.settings["http.listen"]
    ports = listening(target)
    udp = cluster.beacon_port, cluster.beacon_port + 1
    return [
        (f"{count} connections to each port", by_port("hold", count, host, ports)),
        (f"{count // 4} half greetings to each port", by_port("half", count // 4, host, ports)),
        ("garbage to each port", [("garbage", 0, host, *ports)]),
        ("garbage to the beacon ports", [("beacons", 0, host, *udp)]),
        ("a local client that asks without end", [("local", 0, target.socket)])]


class Attack:
    def __init__(self, cluster, network, target):
        self.cluster = cluster
        self.prefix = network.prefixes()[-1]
        self.target = target
        self.faults = []
        self.stream = Stream(target)
        self.before = target.descriptors(), target.memory()

    def wrong(self, text):
        self.faults.append(text)
        print(f"FAULT {text}", flush=True)

    def stranger(self, command):
        return subprocess.Popen(
            [*self.prefix, sys.executable, str(HERE / "stranger.py"), *map(str, command)],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def logged(self):
        return (self.target.folder / "log").stat().st_size

    def run(self, name, seconds, commands):
        """One attack for so long. False when the daemon did not survive it."""
        self.stream.take()
        descriptors = memory = 0
        logged = self.logged()
        slowest = 0.0
        with contextlib.ExitStack() as stack:
            strangers = [stack.enter_context(self.stranger(c)) for c in commands]
            try:
                for stranger in strangers:
                    if stranger.stdout.readline() != "ready\n":
                        raise AssertionError(f"{name}: the stranger itself failed")
                end = time.monotonic() + seconds
                while time.monotonic() < end and self.target.alive():
                    descriptors = max(descriptors, self.target.descriptors())
                    memory = max(memory, self.target.memory())
                    begin = time.monotonic()
                    self.target.status()
                    slowest = max(slowest, time.monotonic() - begin)
                    time.sleep(0.2)
            finally:
                for stranger in strangers:
                    stranger.kill()
        gap, tokens = self.stream.take()
        print(f"{name}: longest gap {gap:.2f} s of {tokens} tokens, of status {slowest:.2f} s; "
              f"{descriptors} descriptors (before {self.before[0]}), "
              f"{memory >> 20} MiB (before {self.before[1] >> 20}), "
              f"{self.logged() - logged >> 10} KiB logged", flush=True)
        if not self.target.alive():
            self.wrong(f"{name}: {self.target.name} ended with {self.target.process.returncode}")
            return False
        if slowest > STATUS_SECONDS:
            self.wrong(f"{name}: status took {slowest:.1f} s")
        if gap > LONGEST_GAP_SECONDS or tokens == 0:
            self.wrong(f"{name}: {tokens} tokens, the longest gap {gap:.2f} s")
        if descriptors > self.before[0] + MORE_DESCRIPTORS:
            self.wrong(f"{name}: {descriptors} descriptors, {self.before[0]} before")
        if memory > self.before[1] + MORE_BYTES:
            self.wrong(f"{name}: {memory} bytes, {self.before[1]} before")
        if self.logged() > logged + MORE_LOG_BYTES:
            self.wrong(f"{name}: {self.logged() - logged} bytes of log in {seconds} s")
        if self.stream.wrong:
            self.wrong(f"{name}: the answer ended: {self.stream.wrong}")
            self.stream.wrong = []
            self.stream.end()
            self.stream = Stream(self.target)
        return True

    def settle(self):
        def settled():
            return (self.target.descriptors() <= self.before[0] + MORE_DESCRIPTORS_AFTER and
                    self.target.memory() <= self.before[1] + MORE_BYTES_AFTER)
        try:
            wait_for(f"{self.target.name} has let go of what strangers held", settled,
                     SETTLE_SECONDS)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: {self.target.descriptors()} descriptors, {self.before[0]} before; "
                f"{self.target.memory() >> 20} MiB, {self.before[1] >> 20} before") from None


def attack_test(options):
    settings = {"models.collectives": "f32", "models.kv": "f32",
                "cluster.port": 47600, "http.port": 8090,
                "http.api_key": "sixteen-characters-at-least"}
    with Network(5) as network:
        # As systemd starts services: 1024 descriptors unless a daemon asks for more.
        limited = [(*prefix, "prlimit", "--nofile=1024:") for prefix in network.prefixes()]
        for address in SOURCES:
            ip("-n", network.hosts[-1], "address", "add", f"{address}/16", "dev", "eth0")
        with Cluster(4, limited, **settings) as cluster:
            *members, late = cluster.devices
            for i, device in enumerate(cluster.devices):
                device.settings["http.listen"] = network.address(i)
            model = make_model(cluster.folder / "small.gguf", shape="small", layers=4, vocab=4000,
                               type="f32")
            for device in cluster.devices:
                shutil.copy(model, device.models)
            for device in members:
                device.start()
            cluster.wait_complete(members)
            target = cluster.root()
            attack = Attack(cluster, network, target)
            print(f"{target.name} is the root, asked and attacked; it listens on TCP "
                  f"{listening(target)}")
            for number in range(len(attacks(cluster, target, options.connections))):
                name, commands = attacks(cluster, target, options.connections)[number]
                if not attack.run(name, options.seconds, commands):
                    target.start()
                    cluster.wait_complete(members)
                    attack.stream.end()
                    attack.stream = Stream(target)
            attack.stream.end()
            try:
                attack.settle()
                late.start()
                cluster.wait_complete(cluster.devices)
                late.run("small", "One day", 10)
                print("a new device has joined and answers")
            except AssertionError as error:
                attack.wrong(str(error))
            if attack.faults:
                cluster.keep = True
                for device in cluster.devices:
                    print(f"== {device.name}: {device.folder}/log")
                    print("\n".join(device.log().splitlines()[-25:]) if device.process else "")
                print("\n".join([f"{len(attack.faults)} faults:", *attack.faults]))
                return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=20000)
    parser.add_argument("--seconds", type=float, default=20, help="of each attack")
    programs.add_options(parser)
    options = parser.parse_args()
    programs.use(options)
    if not can_make_namespaces():
        print("skipped: network namespaces cannot be made here (root and iproute2 are needed)")
        return SKIPPED
    return attack_test(options)


if __name__ == "__main__":
    sys.exit(main())
