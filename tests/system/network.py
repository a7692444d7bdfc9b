"""Hosts as network namespaces on one bridge, with cables that can be pulled."""

import ctypes
import json
import os
import shutil
import subprocess

CLONE_NEWNET = 0x40000000
SKIPPED = 77  # the exit code by which Meson knows a test that was skipped


def ip(*arguments):
    """What it prints."""
    try:
        return subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True,
                              text=True).stdout
    except subprocess.CalledProcessError as error:
        raise OSError(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error


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
            for bridge in ("lan0", "island"):
                ip("-n", self.hub, "link", "add", bridge, "type", "bridge")
                ip("-n", self.hub, "link", "set", bridge, "up")
            for i, host in enumerate(self.hosts):
                self.make(host)
                ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{i}",
                   "netns", self.hub)
                ip("-n", self.hub, "link", "set", f"p{i}", "master", "lan0", "up")
                ip("-n", host, "link", "set", "eth0", "up")
                ip("-n", host, "link", "set", "lo", "up")
                ip("-n", host, "address", "add", f"{self.address(i)}/16", "broadcast",
                   "10.78.255.255", "dev", "eth0")
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

    @staticmethod
    def address(i):
        return f"10.78.0.{i + 1}"

    def prefixes(self):
        return [("ip", "netns", "exec", host) for host in self.hosts]

    def enter(self, i):
        """The calling thread, and what it starts, is on this host from now on."""
        with open(f"/run/netns/{self.hosts[i]}", "rb") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.hosts[i]}")

    def cut(self, i):
        """Pulls the cable of a host."""
        ip("-n", self.hub, "link", "set", f"p{i}", "down")

    def mend(self, i):
        ip("-n", self.hub, "link", "set", f"p{i}", "up")

    def part(self, some):
        """These hosts reach each other only, and the others each other."""
        for i in some:
            ip("-n", self.hub, "link", "set", f"p{i}", "master", "island")

    def rejoin(self, some):
        for i in some:
            ip("-n", self.hub, "link", "set", f"p{i}", "master", "lan0")

    def addresses(self, i):
        """All of a host's addresses on the bridge, of both families."""
        shown = ip("-n", self.hosts[i], "-json", "address", "show", "dev", "eth0")
        return [a["local"] for link in json.loads(shown) for a in link["addr_info"]]

    def wall(self, i, j):
        """Two hosts send each other's packets to where nobody is, without any error; broadcasts
        still arrive, as with a firewall between them."""
        for a, b in ((i, j), (j, i)):
            for address in self.addresses(b):
                ip("-n", self.hosts[a], "neighbour", "replace", address, "lladdr",
                   "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")

    def unwall(self, i, j):
        for a, b in ((i, j), (j, i)):
            for address in self.addresses(b):
                ip("-n", self.hosts[a], "neighbour", "del", address, "dev", "eth0")


def can_make_namespaces():
    name = f"shoal-probe-{os.getpid()}"
    made = shutil.which("ip") and subprocess.run(["ip", "netns", "add", name],
                                                 capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return bool(made)
