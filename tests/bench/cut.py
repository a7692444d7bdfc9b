#!/usr/bin/env python3
"""How long an answer pauses when the connections between two devices are cut in its middle.

The devices are network namespaces (root, ip and ss); every few tokens all their connections are
ended by `ss --kill`, data and control alike. Printed are the longest pause between two tokens after
each cut, for the data plane's own transport and for libzmq's, in turns.

Usage: cut.py [--shoald PATH] [--shoal PATH] [--cuts N]   (MAKE_MODEL: of which program the model is)
"""

import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import cluster  # noqa: E402
from network import Network  # noqa: E402

PAUSE = 1.5  # between two cuts


def pauses(transport, model, cuts):
    """(the longest pause in ms after each cut, the usual time between tokens in ms)."""
    settings = {"cluster.data_transport": transport, "models.context": 8192}
    with Network(2) as network, cluster.Cluster(2, network.prefixes(), **settings) as devices:
        for device in devices.devices:
            shutil.copy(model, device.models)
        devices.start()
        device = devices.devices[0]
        device.run("m", "The sea", 4)
        answer = device.popen("--json", "run", "m", "-n", 8000, "--ignore-eos", "--", "The sea")
        times, cut_at, found = [], time.monotonic() + PAUSE, []
        for line in answer.stdout:
            now = time.monotonic()
            times.append(now)
            if now < cut_at:
                continue
            if len(times) > 50:
                recent = [b - a for a, b in zip(times, times[1:])]
                found.append(max(recent))
            if len(found) > cuts:
                break
            times = [now]
            subprocess.run(["ip", "netns", "exec", network.hosts[1], "ss", "--kill", "-tn",
                            "dst", "10.78.0.0/16"], check=True, capture_output=True)
            cut_at = now + PAUSE
        answer.kill()
        answer.communicate()
        usual = statistics.median(b - a for a, b in zip(times, times[1:]))
        return [1000 * p for p in found[1:]], 1000 * usual


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster.add_options(parser)
    parser.add_argument("--cuts", type=int, default=6, help="of each transport and turn (6)")
    options = parser.parse_args()
    cluster.use(options)
    with tempfile.TemporaryDirectory() as folder:
        model = cluster.make_model(pathlib.Path(folder) / "m.gguf", shape="small", type="q4_0",
                                   context=8192)
        for turn in range(2):
            for transport in ("zmtp", "libzmq"):
                found, usual = pauses(transport, model, options.cuts)
                print(f"{transport}: pause {statistics.median(found):.0f} ms "
                      f"({min(found):.0f}..{max(found):.0f}) of {len(found)} cuts; "
                      f"a token every {usual:.2f} ms", flush=True)


if __name__ == "__main__":
    main()
