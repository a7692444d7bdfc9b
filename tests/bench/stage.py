"""What comparisons run on: processes with cores of their own, and networks between devices."""

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import time

PATIENCE = 600.0  # seconds that any one program may take


class Failed(Exception):
    """A program did not do what it should; the message says which and why."""


# ------------------------------------------------------------------ processes


def prepare(cores, priority):
    """Run in the child: a session of its own, its cores, and a priority that counts in Linux's
    scheduler, where plain nice acts only among the processes of one session. Realtime threads
    give way to no other process, but to each other: only for programs that do not spin."""
    os.setsid()
    if priority == "realtime":
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    elif priority == "high":
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as f:
            f.write("-15")
    if cores:
        os.sched_setaffinity(0, cores)


class Processes:
    """Everything that was started and still has to end. A context: nothing survives it."""

    def __init__(self, priority):
        self.priority = priority
        self.running = []

    def start(self, command, cores=None, host=None, **options):
        command = (["ip", "netns", "exec", host] if host else []) + [str(c) for c in command]
        options = {"stdin": subprocess.DEVNULL, **options}
        try:
            process = subprocess.Popen(
                command, preexec_fn=lambda: prepare(cores, self.priority), **options)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from error
        self.running.append(process)
        return process

    def output(self, command, cores=None, host=None):
        """What the program writes to standard output; Failed when it fails."""
        process = self.start(command, cores, host, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{command[0]}: not done after {PATIENCE:.0f} s") from None
        finally:
            self.end(process)
        if process.returncode != 0:
            raise Failed(f"{shlex.join(map(str, command))}\nended with {process.returncode}: "
                         f"{(err or out)[-800:].strip()}")
        return out

    def end(self, process):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for process in reversed(list(self.running)):
            self.end(process)


def cpu_seconds(cores):
    """Of these cores, and of our finished children."""
    total = 0
    with open("/proc/stat") as f:
        for line in f:
            name, *ticks = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
                user, nice, system, _idle, _wait, _irq, _soft, stolen = map(int, ticks[:8])
                total += user + nice + system + stolen
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return total / os.sysconf("SC_CLK_TCK"), own.ru_utime + own.ru_stime


def observed(call, cores):
    """The call's result, with "other_load": the share of its cores that others took meanwhile
    (lan-switch counts among them: it is none of the devices)."""
    (all_before, own_before), begin = cpu_seconds(cores), time.monotonic()
    sample = call()
    (all_after, own_after), wall = cpu_seconds(cores), time.monotonic() - begin
    others = (all_after - all_before) - (own_after - own_before)
    sample["other_load"] = round(max(0.0, others / wall / len(cores)), 3)
    return sample


def cores_of(device, threads, pin):
    """The cores of one device of `threads` threads; devices share cores when there are too few."""
    if not pin:
        return None
    usable = sorted(os.sched_getaffinity(0))
    return {usable[(device * threads + i) % len(usable)] for i in range(min(threads, len(usable)))}


# ------------------------------------------------------------------ networks


def ip(*arguments):
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise Failed(f"ip {' '.join(arguments)}: {result.stderr.strip()} (namespaces need root)")


class Loopback:
    def __init__(self, devices):
        self.hosts = [None] * devices
        self.addresses = ["127.0.0.1"] * devices

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass


class Namespaces:
    """One namespace a device, joined by a bridge or by lan-switch in another. A context."""

    def __init__(self, options, processes):
        tag = f"bench{os.getpid() % 100000}"
        self.o, self.processes = options, processes
        self.hub = f"{tag}-hub"
        self.hosts = [f"{tag}-{i + 1}" for i in range(options.devices)]
        self.addresses = [f"10.79.0.{i + 1}" for i in range(options.devices)]
        self.made = []

    def __enter__(self):
        try:
            for name in [self.hub, *self.hosts]:
                ip("netns", "add", name)
                self.made.append(name)
            if self.o.net == "lan" and not self.has_netem():
                self.switch()
            else:
                self.bridge()
            for host, address in zip(self.hosts, self.addresses):
                ip("-n", host, "link", "set", "lo", "up")
                ip("-n", host, "address", "add", f"{address}/24", "broadcast", "10.79.0.255",
                   "dev", "eth0")
                ip("-n", host, "link", "set", "eth0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def has_netem(self):
        ip("-n", self.hub, "link", "set", "lo", "up")
        return self.tc(self.hub, "lo", "netem", "delay", "1ms").returncode == 0

    def tc(self, host, device, *rule):
        return subprocess.run(["ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", device,
                               "root", *rule], capture_output=True, text=True)

    def bridge(self):
        ip("-n", self.hub, "link", "add", "lan0", "type", "bridge")
        ip("-n", self.hub, "link", "set", "lan0", "up")
        rate = f"{self.o.rate_mbit}mbit"
        rule = {"plain": None, "tbf": ("tbf", "rate", rate, "burst", "32kb", "latency", "100ms"),
                "lan": ("netem", "delay", f"{self.o.delay_us}us", "rate", rate)}[self.o.net]
        for i, host in enumerate(self.hosts):
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{i}", "netns",
               self.hub)
            ip("-n", self.hub, "link", "set", f"p{i}", "master", "lan0", "up")
            result = self.tc(host, "eth0", *rule) if rule else None
            if result and result.returncode != 0:
                raise Failed(f"tc {' '.join(rule)}: {result.stderr.strip()}")

    def switch(self):
        """For kernels without netem: frames pass through a program that holds them back."""
        command = [self.o.build / "tests/bench/lan-switch", self.o.delay_us, self.o.rate_mbit,
                   "eth0", *self.hosts]
        process = self.processes.start(command, stdout=subprocess.PIPE, text=True)
        if process.stdout.readline().strip() != "ready":
            raise Failed("lan-switch did not start")

    def __exit__(self, *unused):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
