#!/usr/bin/env python3
"""Measures Shoal beside other engines, in turns, on one device or on several.

Sides take turns (A B A B ...) so that whatever else the machine does hits both alike; every run
is a fresh process, pinned to the same cores on both sides. Medians and the extremes are printed,
never the best run alone. Engines other than Shoal are found by option or environment variable:

  one device    --llama-bench PATH   (LLAMA_BENCH)  called as
                    PATH -m MODEL -t THREADS -p PROMPT -n 0 -r 1 -o json, then -p 0 -n GENERATE
                --other 'NAME=COMMAND'  any program, any number of them; {model} {threads}
                    {prompt} {generate} are filled in, and the last line that it prints is JSON
                    with "prefill" and "decode" in tokens/s (or model-bench's names for them:
                    another build of it can be compared too)
  a cluster     --dllama PATH        (DLLAMA), with --dllama-model and --dllama-tokenizer; called as
                    PATH worker --port N --nthreads T, and at the root
                    PATH inference --workers ... --buffer-float-type q80 --temperature 0

Clusters run on this machine, every device with its own cores where there are enough: over
loopback, or each in a network namespace of its own (needs root), plain (a bridge), tbf (the same
with a limited rate) or lan (delay as well, by netem or lan-switch).
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from stage import Failed, Loopback, Namespaces, Processes, cores_of, observed

ROOT = pathlib.Path(__file__).resolve().parents[2]


# ------------------------------------------------------------------ one device


def rates(text, program):
    """prefill and decode tokens/s from the last line that is a JSON object."""
    for line in reversed(text.strip().splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return {phase: float(found.get(phase, found.get(f"{phase}_tokens_per_second", 0)))
                        for phase in ("prefill", "decode")}
    raise Failed(f"{program}: printed no line of JSON: {text[-300:].strip()}")


class ModelBench:
    """Shoal in process. `split`: prompt and generation are timed apart, as llama-bench does;
    otherwise the generation follows the prompt."""

    def __init__(self, options, split):
        self.name = "Shoal"
        self.o, self.split = options, split

    def run(self, processes, threads):
        def call(prompt, generate):
            command = [self.o.build / "tests/bench/model-bench", "--json", "-m", self.o.model,
                       "-t", threads, "-p", prompt, "-n", generate]
            return rates(processes.output(command, cores_of(0, threads, self.o.pin)), command[0])
        if not self.split:
            return call(self.o.prompt, self.o.generate)
        return {"prefill": call(self.o.prompt, 0)["prefill"],
                "decode": call(0, self.o.generate)["decode"]}


class LlamaBench:
    def __init__(self, options):
        self.name = options.llama_bench_name
        self.o = options

    def run(self, processes, threads):
        def call(prompt, generate):
            command = [self.o.llama_bench, "-m", self.o.model, "-t", threads, "-r", 1, "-o",
                       "json", "-p", prompt, "-n", generate, *shlex.split(self.o.llama_bench_args)]
            text = processes.output(command, cores_of(0, threads, self.o.pin))
            try:
                row = json.loads(text[text.index("["):])[0]
                return (prompt + generate) * 1e9 / row["samples_ns"][0]
            except (ValueError, LookupError) as error:
                raise Failed(f"{command[0]}: unexpected output: {text[-300:]}") from error
        return {"prefill": call(self.o.prompt, 0), "decode": call(0, self.o.generate)}


class Other:
    """Generates after the prompt."""

    def __init__(self, options, name, command):
        self.name, self.command = name, shlex.split(command)
        self.o = options

    def run(self, processes, threads):
        command = [part.format(model=self.o.model, threads=threads, prompt=self.o.prompt,
                               generate=self.o.generate) for part in self.command]
        return rates(processes.output(command, cores_of(0, threads, self.o.pin)), command[0])


# ------------------------------------------------------------------ clusters


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, patience):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise Failed(f"after {patience:.0f} s: not {what}")


class ShoalCluster:
    """Daemons that all hold the file, asked by `shoal run` at the first one."""

    def __init__(self, options, network, name="Shoal", build=None, settings=()):
        self.name = name
        self.o, self.network = options, network
        self.build, self.settings = build or options.build, settings
        self.shoal = self.build / "cli/shoal"

    def run(self, processes, threads):
        with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
            devices = self.start(processes, pathlib.Path(folder), threads)
            try:
                return self.sample(processes, devices)
            except Failed as error:
                logs = "\n".join((d / "log").read_text(errors="replace")[-600:] for d in devices)
                raise Failed(f"{error}\n{logs}") from None
            finally:
                for process in reversed(list(processes.running)):
                    if process not in self.o.keep:
                        processes.end(process)

    def sample(self, processes, devices):
        self.ask(processes, devices[0], "Ready?", 2)
        done = self.ask(processes, devices[0], " a" * self.o.prompt, self.o.generate)
        if done["devices"] != len(devices) or done["generated_tokens"] != self.o.generate:
            raise Failed(f"not what was asked for: {done}")
        # The first generated token belongs to the prompt's time.
        return {"prefill": done["prompt_tokens"] / done["prefill_seconds"],
                "decode": (done["generated_tokens"] - 1) / done["decode_seconds"]}

    def planning(self):
        """The devices are equal; measuring each on a shared machine would hide it. All take part,
        whether or not they help; older builds know nothing else."""
        help_text = subprocess.run([self.build / "daemon/shoald", "--help"], check=True,
                                   capture_output=True, text=True).stdout
        everyone = {"plan.min_devices": len(self.network.hosts)}
        return {"device.speed_bytes": 10_000_000_000,
                **(everyone if "plan.min_devices" in help_text else {})}

    def start(self, processes, folder, threads):
        subprocess.run([self.shoal, "key", "new", folder / "key"], check=True, capture_output=True)
        beacon_port = free_port(socket.SOCK_DGRAM)
        devices = []
        for i, host in enumerate(self.network.hosts):
            device = folder / f"dev{i + 1}"
            (device / "models").mkdir(parents=True)
            os.symlink(self.o.model, device / "models" / self.o.model.name)
            (device / "shoald.toml").write_text("")
            settings = {
                "device.name": device.name, "device.state_dir": device / "state",
                "device.threads": threads, "cluster.key_file": folder / "key",
                "cluster.beacon_port": beacon_port,
                "control.socket": device / "control.sock", "control.group": "",
                "models.directories": device / "models", "models.context": self.o.context,
                "models.collectives": self.o.collectives, "http.enabled": "false",
                **self.planning(),
            }
            command = [self.build / "daemon/shoald", "--config", device / "shoald.toml",
                       *(f"--{key}={value}" for key, value in settings.items()),
                       *(f"--{setting}" for setting in self.settings)]
            with open(device / "log", "w") as log:
                processes.start(command, cores_of(i, threads, self.o.pin), host,
                                stdout=log, stderr=log)
            devices.append(device)
        wait_for(f"a cluster of {len(devices)}", lambda: all(map(self.complete, devices)), 60)
        return devices

    def complete(self, device):
        try:
            state = self.told(device, "status")
        except subprocess.CalledProcessError:
            return False
        return bool(state["root"]) and len(state["devices"]) == len(self.network.hosts)

    def told(self, device, *command):
        """What a command of the client tells at last."""
        text = subprocess.run([self.shoal, "--socket", device / "control.sock", "--json",
                               *command], check=True, capture_output=True, text=True).stdout
        return json.loads(text.strip().splitlines()[-1])

    def ask(self, processes, device, prompt, count):
        text = processes.output([
            self.shoal, "--socket", device / "control.sock", "--json", "run",
            self.o.model.name.removesuffix(".gguf"), "-n", count, "--temperature", 0,
            "--ignore-eos", "--", prompt])
        return json.loads(text.strip().splitlines()[-1])


Hosts = collections.namedtuple("Hosts", "hosts addresses")  # some of a network's


class Forecast(ShoalCluster):
    """The planner's word beside what comes: the devices measure themselves and their links."""

    def planning(self):
        return {"plan.min_devices": len(self.network.hosts)}

    def sample(self, processes, devices):
        for device in devices:
            wait_for(f"{device.name} measured", lambda: self.told(device, "bench", "--show")
                     ["origin"] == "measured", 60)
        plan = wait_for("links measured", lambda: self.planned(devices[0]), 120)
        count = plan["counts"][len(devices) - 1]
        # The time of a token grows with the position: from the first to the last that is told.
        middle = (self.o.prompt + self.o.generate / 2) / plan["positions"][-1]
        first, last = (1 / count["decode_tokens_per_second"][i] for i in (0, -1))
        return {**super().sample(processes, devices),
                "prefill_forecast": count["prefill_tokens_per_second"],
                "decode_forecast": 1 / (first + (last - first) * middle),
                "plan": plan}

    def planned(self, device):
        plan = self.told(device, "plan", self.o.model.name.removesuffix(".gguf"))
        return plan if plan["links"]["measured"] == plan["links"]["pairs"] else None


class DllamaCluster:
    """Its own figures count: they leave out sampling and printing."""

    def __init__(self, options, network):
        self.name = "distributed-llama"
        self.o, self.network = options, network

    def run(self, processes, threads):
        # Spinning receivers help while every device has cores of its own, and only then.
        enough = self.o.devices * threads <= len(os.sched_getaffinity(0))
        common = ["--nthreads", threads, "--net-turbo", int(enough)]
        workers, addresses = [], []
        try:
            for i in range(1, self.o.devices):
                port = free_port(socket.SOCK_STREAM)
                workers.append(processes.start(
                    [self.o.dllama, "worker", "--port", port, *common],
                    cores_of(i, threads, self.o.pin), self.network.hosts[i],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                addresses.append(f"{self.network.addresses[i]}:{port}")
            time.sleep(1.0)
            text = processes.output([
                self.o.dllama, "inference", "--model", self.o.dllama_model, "--tokenizer",
                self.o.dllama_tokenizer, "--buffer-float-type", "q80", "--temperature", 0,
                "--prompt", " a" * self.o.prompt, "--steps", self.o.prompt + self.o.generate,
                "--max-seq-len", self.o.context, *common,
                *(["--workers", *addresses] if addresses else []),
            ], cores_of(0, threads, self.o.pin), self.network.hosts[0])
        finally:
            for worker in workers:
                processes.end(worker)
        found = [float(x) for x in re.findall(r"tokens/s: ([\d.]+)", text)]
        if len(found) != 2:
            raise Failed(f"{self.o.dllama}: unexpected output: {text[-300:]}")
        return dict(zip(("prefill", "decode"), found))


# ------------------------------------------------------------------ measuring and telling


def measure(sides, processes, threads, devices, options):
    """{side name: {phase: {median, min, max, runs}}}, all sides taking turns."""
    cores = set().union(*(cores_of(d, threads, options.pin) or os.sched_getaffinity(0)
                          for d in range(devices)))
    samples = {side.name: [] for side in sides}
    for run in range(options.runs):
        for side in sides:
            sample = observed(lambda: side.run(processes, threads), cores)
            samples[side.name].append(sample)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in sample.items())
            print(f"{threads} thread(s), run {run + 1}, {side.name}: {shown}", file=sys.stderr)
    return {name: {phase: {"median": statistics.median(s[phase] for s in ours),
                           "min": min(s[phase] for s in ours),
                           "max": max(s[phase] for s in ours),
                           "runs": [s[phase] for s in ours]}
                   for phase in ("prefill", "decode", "other_load")}
            for name, ours in samples.items()}


def table(results, rivals, options):
    """Markdown: one line a phase and number of threads, one ratio a rival."""
    names = ["Shoal", *rivals]
    lines = ["| " + " | ".join(["", *names, *(f"Shoal / {r}" for r in rivals), "other load"]) +
             " |", "|---|" + "---|" * (len(names) + len(rivals) + 1)]
    for threads, sides in results.items():
        for phase, count in (("prefill", options.prompt), ("decode", options.generate)):
            cells = [f"{phase} {count}, {threads} t"]
            for name in names:
                s = sides[name][phase]
                cells.append(f"{s['median']:.1f} ({s['min']:.1f}..{s['max']:.1f})")
            ours = sides["Shoal"][phase]["median"]
            for name in rivals:
                theirs = sides[name][phase]["median"]
                cells.append(f"{ours / theirs:.2f}" if theirs else "-")
            load = statistics.median(sides[n]["other_load"]["median"] for n in names)
            cells.append(f"{100 * load:.0f} %")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cpu_model():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.MULTILINE)
    return found[1] if found else "unknown CPU"


def tell(options, what, results, rivals):
    header = {"what": what, "date": time.strftime("%Y-%m-%d"), "cpu": cpu_model(),
              "cores": os.cpu_count(), "model": options.model.name,
              "model_bytes": options.model.stat().st_size, "prompt": options.prompt,
              "generate": options.generate, "runs": options.runs}
    if options.json:
        print(json.dumps({**header, "results": results}))
        return
    print(f"{what}, {options.model.name} ({header['model_bytes'] / 1e6:.0f} MB), tokens/s, median "
          f"(min..max) of {options.runs}; {header['cpu']}, {header['cores']} cores, "
          f"{header['date']}\n\n{table(results, rivals, options)}")


def one(options):
    # llama-bench times generation without a prompt, other programs after it: so do we.
    sides = [ModelBench(options, split=bool(options.llama_bench) or not options.other)]
    if options.llama_bench:
        sides.append(LlamaBench(options))
    for other in options.other:
        name, found, command = other.partition("=")
        if not found or not name or not command.strip():
            raise Failed(f"--other {other}: give NAME=COMMAND")
        sides.append(Other(options, name, command))
    if options.llama_bench and options.other:
        raise Failed("give --llama-bench or --other: they time generation differently")
    with Processes(options.priority) as processes:
        results = {t: measure(sides, processes, t, 1, options) for t in options.threads}
    tell(options, "One device", results, [s.name for s in sides[1:]])


def cluster(options):
    with Processes(options.priority) as processes:
        network = (Loopback(options.devices) if options.net == "loopback" else
                   Namespaces(options, processes))
        with network:
            options.keep = list(processes.running)  # the network's own
            sides = [ShoalCluster(options, network, settings=options.set)]
            if options.former:
                sides.append(ShoalCluster(options, network, "former Shoal", options.former))
            if options.also is not None:
                name = " ".join(options.also)
                sides.append(ShoalCluster(options, network, name, settings=options.also))
            if options.dllama:
                sides.append(DllamaCluster(options, network))
            results = {t: measure(sides, processes, t, options.devices, options)
                       for t in options.threads}
    net = {"loopback": "loopback", "plain": "bridged namespaces",
           "tbf": f"{options.rate_mbit} Mbit/s",
           "lan": f"{options.rate_mbit} Mbit/s, {options.delay_us} us one way"}[options.net]
    tell(options, f"{options.devices} devices, {net}", results, [s.name for s in sides[1:]])


def forecast(options):
    """By number of devices: what the planner says, what comes, and whether its choice was best."""
    # The planner tells of a prompt as long as the context, as long as that is short.
    options.context = options.prompt + options.generate + 8  # and what begins every prompt
    lines, took, chosen = [], {}, None
    with Processes(options.priority) as processes, Namespaces(options, processes) as network:
        options.keep = list(processes.running)
        for count in range(1, options.devices + 1):
            part = Hosts(network.hosts[:count], network.addresses[:count])
            samples = [Forecast(options, part).run(processes, options.threads[0])
                       for _ in range(options.runs)]
            rate = {}
            for phase in ("prefill", "decode"):
                rate[phase] = statistics.median(s[phase] for s in samples)
                said = statistics.median(s[f"{phase}_forecast"] for s in samples)
                lines.append(f"| {count} | {phase} | {said:.1f} | {rate[phase]:.1f} | "
                             f"{100 * (said / rate[phase] - 1):+.0f} % |")
            plan = samples[-1]["plan"]
            took[count] = (plan["request"]["prompt"] / rate["prefill"] +
                           plan["request"]["answer"] / rate["decode"])
            chosen = min(plan["counts"][:count], key=lambda c: c["request_seconds"])["devices"]
    best = min(took, key=took.get)
    links = plan["links"]["usual"]
    print(f"{options.model.name}, {options.rate_mbit} Mbit/s, {options.delay_us} us one way, prompt "
          f"{options.prompt}, medians of {options.runs}; {cpu_model()}, "
          f"{time.strftime('%Y-%m-%d')}\n\n| devices | | forecast, tokens/s | measured | off by |\n"
          "|---|---|---|---|---|\n" + "\n".join(lines) +
          f"\n\nLinks were measured as {links['exchange_us']:.0f} us and "
          f"{links['bytes_per_second'] / 1e6:.1f} MB/s. The planner would take {chosen}: "
          f"{took[chosen] / took[best]:.2f} of the time of the quickest ({best}).")


def exchange(options):
    """The exchange alone, beside bare TCP, through the same network."""
    with Processes(options.priority) as processes, Namespaces(options, processes) as network:
        hosts = [f"{host}={address}" for host, address in zip(network.hosts, network.addresses)]
        command = [options.build / "tests/bench/exchange_bench", "--blocks", options.blocks,
                   "--ranks", options.devices, "--hosts", *hosts]
        if options.sizes:
            command += ["--sizes", *options.sizes.split(",")]
        if options.row:
            command += ["--row", options.row]
        print(processes.output(command), end="")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", type=pathlib.Path, required=True, help="a GGUF file")
    common.add_argument("--threads", default="1", help="compute threads of a device: 1 or 1,2")
    common.add_argument("--prompt", type=int, default=512, help="tokens of the prompt (512)")
    common.add_argument("--generate", type=int, default=64, help="tokens to generate (64)")
    common.add_argument("--runs", type=int, default=3, help="of each side (3)")
    common.add_argument("--build", type=pathlib.Path, default=ROOT / "build",
                        help="the build folder of Shoal (build)")
    common.add_argument("--no-pin", dest="pin", action="store_false", help="use all cores")
    common.add_argument("--priority", choices=["normal", "high", "realtime"], default="high",
                        help="of both sides over other processes (high); realtime is for busy "
                        "machines, and never for more threads than cores")
    common.add_argument("--json", action="store_true", help="all samples as one line of JSON")

    p = commands.add_parser("one", parents=[common], help="one device, in process")
    p.set_defaults(call=one)
    p.add_argument("--llama-bench", default=os.environ.get("LLAMA_BENCH"))
    p.add_argument("--llama-bench-name", default="llama-bench", help="its name in the table")
    p.add_argument("--llama-bench-args", default="", help="further options for it")
    p.add_argument("--other", metavar="NAME=COMMAND", action="append", default=[],
                   help="see above")

    p = commands.add_parser("cluster", parents=[common], help="several devices on this machine")
    p.set_defaults(call=cluster)
    p.add_argument("--devices", type=int, default=2)
    p.add_argument("--net", choices=["loopback", "plain", "tbf", "lan"], default="plain")
    p.add_argument("--rate-mbit", type=int, default=1000, help="of each device's link (1000)")
    p.add_argument("--delay-us", type=int, default=100, help="one way, for --net lan (100)")
    p.add_argument("--context", type=int, default=4096, help="positions of the KV cache (4096)")
    p.add_argument("--collectives", default="q8_0", choices=["q8_0", "q16", "f16", "f32"])
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
                   help="a setting of Shoal's daemons")
    p.add_argument("--former", type=pathlib.Path, help="another build folder of Shoal, beside it")
    p.add_argument("--also", metavar="KEY=VALUE", action="append",
                   help="this Shoal with these settings, beside it")
    p.add_argument("--dllama", default=os.environ.get("DLLAMA"))
    p.add_argument("--dllama-model", help="the same weights as its .m file")
    p.add_argument("--dllama-tokenizer", help="its .t file")

    p = commands.add_parser("forecast", parents=[common],
                            help="the planner's predictions beside what comes, for 1 to N devices")
    p.set_defaults(call=forecast, collectives="q8_0", set=[])
    p.add_argument("--devices", type=int, default=2)
    p.add_argument("--net", choices=["plain", "tbf", "lan"], default="lan")
    p.add_argument("--rate-mbit", type=int, default=1000, help="of each device's link (1000)")
    p.add_argument("--delay-us", type=int, default=100, help="one way, for --net lan (100)")

    p = commands.add_parser("exchange", help="all-gathers between namespaces, beside bare TCP")
    p.set_defaults(call=exchange, model=None)
    p.add_argument("--sizes", help="bytes of a device, with commas between them")
    p.add_argument("--row", help="this row of its table alone, as in ZMTP")
    p.add_argument("--devices", type=int, default=2)
    p.add_argument("--net", choices=["plain", "tbf", "lan"], default="lan")
    p.add_argument("--rate-mbit", type=int, default=1000, help="of each device's link (1000)")
    p.add_argument("--delay-us", type=int, default=100, help="one way, for --net lan (100)")
    p.add_argument("--blocks", type=int, default=50, help="of 16 collectives (50)")
    p.add_argument("--priority", choices=["normal", "high", "realtime"], default="high")
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    return parser.parse_args()


def check(options):
    """What argparse cannot see. Makes paths absolute: programs run in folders of their own."""
    options.build = options.build.resolve()
    if options.command == "exchange":
        return
    options.model = options.model.resolve()
    if getattr(options, "former", None):
        options.former = options.former.resolve()
    if not options.model.is_file():
        raise Failed(f"{options.model}: no such file")
    try:
        options.threads = [int(t) for t in options.threads.split(",")]
    except ValueError:
        raise Failed(f"--threads {options.threads}: give numbers, as in 1,2") from None
    if min(*options.threads, options.runs, options.prompt) < 1 or options.generate < 2:
        raise Failed("threads, runs and prompt must be at least 1, generate at least 2")
    needed = ["tests/bench/model-bench"] if options.command == "one" else [
        "daemon/shoald", "cli/shoal"]
    for name in needed:
        if not (options.build / name).is_file():
            raise Failed(f"{options.build / name} is missing; build it: "
                         f"ninja -C {options.build} {name}")
    if options.command == "cluster":
        if not 1 <= options.devices <= 32:
            raise Failed("--devices: 1 to 32")
        if options.dllama and not (options.dllama_model and options.dllama_tokenizer):
            raise Failed("--dllama needs --dllama-model and --dllama-tokenizer")
        if options.net != "loopback" and not shutil.which("ip"):
            raise Failed("--net needs the program ip (Debian package iproute2)")


def main():
    # Ended by a signal, the contexts still clean up.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    options = arguments()
    try:
        check(options)
        options.call(options)
    except Failed as error:
        sys.exit(f"compare: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
