"""Real daemons for tests: each in its own folder, on loopback or each in a network namespace."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = pathlib.Path(__file__).parents[2] / "build"
SHOALD = os.environ.get("SHOALD", str(BUILD / "daemon" / "shoald"))
SHOAL = os.environ.get("SHOAL", str(BUILD / "cli" / "shoal"))
MAKE_MODEL = os.environ.get("MAKE_MODEL", str(BUILD / "tests" / "bench" / "make-model"))

# Everything waits at most this long; a test that needs longer has failed.
PATIENCE = 60.0


def add_options(parser):
    """Flags of a test that is also run by hand, for `use`."""
    parser.add_argument("--shoald", default=SHOALD, help="the daemon (default: $SHOALD or build/)")
    parser.add_argument("--shoal", default=SHOAL, help="the client (default: $SHOAL or build/)")


def use(options):
    global SHOALD, SHOAL
    SHOALD, SHOAL = options.shoald, options.shoal


def present(state):
    """The devices of a status that are there; lost ones are shown for a while."""
    return [d for d in state["devices"] if d["alive"]]


def warnings(state):
    """What is wrong by a status, but for what is wrong with the machine that tests."""
    machine = ("memory-pressure", "under-voltage", "throttled", "other-load")
    return [w for w in state["warnings"] if w["name"] not in machine]


def free_port(kind=socket.SOCK_DGRAM):
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, patience=PATIENCE):
    """The condition's first true value."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"after {patience} s: not {what}")


def make_model(path, **shape):
    """A generated model; shape as make-model's options, e.g. shape="tiny", type="f32"."""
    arguments = [MAKE_MODEL, "-o", str(path)]
    for key, value in shape.items():
        option = "--" + key.replace("_", "-")
        arguments += [option] if value is True else [option, str(value)]
    subprocess.run(arguments, check=True, capture_output=True, timeout=PATIENCE)
    return path


class Device:
    """One daemon. `prefix` is put before its command, to run it in a namespace."""

    def __init__(self, cluster, number, settings, prefix=()):
        self.name = f"dev{number}"
        self.folder = cluster.folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.models = self.folder / "models"
        self.models.mkdir(exist_ok=True)
        self.socket = self.folder / "control.sock"
        (self.folder / "shoald.toml").write_text("")
        self.prefix = list(prefix)
        self.settings = {
            "device.name": self.name,
            "device.state_dir": self.folder / "state",
            "device.threads": 1,
            "device.speed_bytes": 1_000_000_000,
            "cluster.key_file": cluster.key,
            "cluster.beacon_port": cluster.beacon_port,
            "cluster.heartbeat_ms": 100,
            "cluster.suspect_ms": 700,
            "cluster.dead_ms": 1500,
            "control.socket": self.socket,
            "control.group": "",
            "models.directories": self.models,
            "http.port": 0,
            **settings,
        }
        self.process = None

    def start(self):
        flags = [f"--{key}={value}" for key, value in self.settings.items()]
        command = self.prefix + [SHOALD, "--config", str(self.folder / "shoald.toml")] + flags
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        return self

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def kill(self):
        """As if the power went."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def popen(self, *arguments, **options):
        """The client, started."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen([SHOAL, "--socket", str(self.socket), *map(str, arguments)],
                                **options)

    def shoal(self, *arguments):
        """The finished client: returncode, stdout, stderr."""
        client = self.popen(*arguments)
        try:
            out, err = client.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            client.kill()
            client.communicate()
            raise
        return subprocess.CompletedProcess(client.args, client.returncode, out, err)

    def status(self):
        """The cluster as JSON; nothing while the daemon does not answer."""
        result = self.shoal("--json", "status")
        return json.loads(result.stdout) if result.returncode == 0 else None

    def run(self, model, prompt, count, *more):
        """Greedy text."""
        result = self.shoal("run", "--raw", model, "-n", count, "--temperature", 0, *more, "--", prompt)
        if result.returncode != 0:
            raise AssertionError(f"shoal run ended with {result.returncode}: {result.stderr}")
        return result.stdout.removesuffix("\n")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def memory(self, what="VmRSS"):
        """Bytes of a line of the process's status: VmRSS, RssAnon, VmSize."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{what}:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024

    def http_port(self):
        return int(wait_for("HTTP is up", lambda: re.search(r"HTTP on \S+:(\d+)", self.log()))[1])

    def http(self, method, path, body=None, headers=None):
        """(status, headers, text) of one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port(), timeout=PATIENCE)
        headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, dict(answer.getheaders()), text


class Cluster:
    """Devices that share a key. Use as a context; everything is stopped and removed at the end."""

    def __init__(self, count, prefixes=None, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-system-"))
        self.keep = False  # set it to find the folder after the end
        self.key = self.folder / "cluster.key"
        subprocess.run([SHOAL, "key", "new", str(self.key)], check=True, capture_output=True)
        self.beacon_port = free_port()
        prefixes = prefixes or [()] * count
        # Small models are quickest on one device; these tests are about what several do together.
        # A file that comes by itself would be there in some runs and not in others.
        settings = {"plan.min_devices": count, "models.whole_file": "never", **settings}
        self.devices = [Device(self, i + 1, settings, prefixes[i]) for i in range(count)]

    def __enter__(self):
        return self

    def start(self):
        for device in self.devices:
            device.start()
        try:
            self.wait_complete(self.devices)
        except AssertionError:
            for device in self.devices:
                print(f"== {device.name}\n{device.log()}")
            self.close()
            raise
        return self

    def wait_complete(self, devices):
        """Until all these, and only these, know each other and agree on a root."""
        def complete():
            states = [device.status() for device in devices]
            return all(states) and len({s["root"] for s in states}) == 1 and all(
                s["root"] and len(present(s)) == len(devices) for s in states)
        try:
            wait_for(f"a cluster of {len(devices)}", complete)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.views()}") from None

    def views(self):
        """Whom each device sees, for a person."""
        def view(device):
            if device.process is None:
                return f"{device.name} was not started"
            try:
                state = device.status()
            except subprocess.TimeoutExpired:
                state = None
            if not state:
                return f"{device.name} does not answer, its log ends: {device.log()[-500:]!r}"
            names = " ".join(d["name"] + ("*" if d["root"] else "") for d in present(state))
            return f"{device.name} sees {names}"
        return "; ".join(view(d) for d in self.devices)

    def root(self):
        state = next(s for s in (d.status() for d in self.devices if d.alive()) if s)
        name = next(d["name"] for d in state["devices"] if d["root"])
        return next(d for d in self.devices if d.name == name)

    def close(self):
        for device in self.devices:
            if device.alive():
                device.process.send_signal(signal.SIGCONT)
                device.process.terminate()
        for device in self.devices:
            if device.process is not None:
                try:
                    device.process.wait(10)
                except subprocess.TimeoutExpired:
                    device.process.kill()
                    device.process.wait()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, *unused):
        self.close()
