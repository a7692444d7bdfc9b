#!/usr/bin/env python3
"""What daemons cost that have joined each other and have nothing to do: CPU, memory, wake-ups, disk.

    tests/bench/idle.py [--devices 2] [--seconds 60]

Each on loopback in a folder of its own, with the settings that a device has by default; no model.
CPU and wake-ups are told by thread, per second and in percent of one core; what is written to disk
per hour. Nothing is judged: run it beside nothing else.
"""

import argparse
import os
import pathlib
import re
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import cluster  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
# What tests set to be quick is as it is by default here.
DEFAULTS = {"cluster.heartbeat_ms": 500, "cluster.suspect_ms": 2000, "cluster.dead_ms": 4000,
            "device.speed_bytes": 0, "plan.min_devices": 1, "device.threads": 0}


def number(text, name):
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


class Sample:
    """Counters of a process, and of its threads by name."""

    def __init__(self, pid):
        proc = pathlib.Path("/proc") / str(pid)
        self.time = time.monotonic()
        self.written = number((proc / "io").read_text(), "write_bytes")
        self.threads = {}
        for task in sorted((proc / "task").iterdir(), key=lambda t: int(t.name)):
            try:
                status = (task / "status").read_text()
                # Nanoseconds on a CPU: ticks are too coarse for what idles.
                busy = int((task / "schedstat").read_text().split()[0]) / 1e9
            except OSError:
                continue  # it has ended
            name = status.splitlines()[0].split("\t")[1]
            self.threads[f"{name} {task.name}"] = (
                busy, number(status, "voluntary_ctxt_switches"))


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    names = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
    return "  ".join(f"{name} {number(status, name) / 1024:.1f} MiB" for name in names)


def show(device, before, after):
    seconds = after.time - before.time
    rows = []
    for name, (busy, wakes) in after.threads.items():
        old = before.threads.get(name, (0, 0))
        rows.append((100 * (busy - old[0]) / seconds, (wakes - old[1]) / seconds, name))
    cpu, wakes = sum(r[0] for r in rows), sum(r[1] for r in rows)
    written = (after.written - before.written) / seconds * 3600
    print(f"{device.name}: {cpu:.3f} % of a core, {wakes:.1f} wake-ups/s, "
          f"{written / 1024:.0f} KiB written/h, {len(rows)} threads")
    print(f"    {memory(device.process.pid)}")
    for percent, rate, name in sorted(rows, reverse=True):
        if percent >= 0.0005 or rate >= 0.01:
            print(f"    {percent:7.3f} %  {rate:6.1f}/s  {name.split()[0]}")


def wait_until(what, condition, patience=30):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not {what} after {patience} s")
        time.sleep(0.001)


def start(device, folder):
    """Seconds until it says that it is ready, and until it has joined those that are there."""
    path = f"{folder}/{device.name}.notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = path
        begin = time.monotonic()
        device.start()
        while b"READY=1" not in notify.recv(4096):
            pass
        ready = time.monotonic() - begin
    return begin, ready


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=12, help="seconds before (default: 12)")
    cluster.add_options(parser)
    options = parser.parse_args()
    cluster.use(options)
    with cluster.Cluster(options.devices, **DEFAULTS) as devices, \
            tempfile.TemporaryDirectory() as folder:
        for i, device in enumerate(devices.devices):
            begin, ready = start(device, folder)
            line = f"{device.name}: ready after {ready:.2f} s"
            if i > 0:
                wait_until("joined", lambda d=device: " joined from" in d.log()
                           and "root is" in d.log())
                line += f", joined after {time.monotonic() - begin:.2f} s"
            print(line, flush=True)
            # The first start measures the device for three seconds.
            time.sleep(options.settle)
        before = [Sample(d.process.pid) for d in devices.devices]
        time.sleep(options.seconds)
        after = [Sample(d.process.pid) for d in devices.devices]
        for device, first, last in zip(devices.devices, before, after):
            show(device, first, last)


if __name__ == "__main__":
    main()
