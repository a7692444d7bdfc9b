"""The memory that a prompt takes grows with its length, not with its square."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import make_model  # noqa: E402

LENGTHS = (512, 1024, 2048, 4096)


def peak_bytes(model, prompt):
    """Peak resident memory of a process that computes a prompt of so many tokens."""
    process = subprocess.Popen(
        [os.environ["MODEL_BENCH"], "-m", str(model), "-t", "1", "-p", str(prompt), "-n", "1",
         "--json"], stdout=subprocess.PIPE)
    with process.stdout:
        out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise AssertionError("model-bench failed")
    return usage.ru_maxrss * 1024, json.loads(out)


class MemoryTest(unittest.TestCase):
    def test_peak_memory_grows_linearly_with_the_prompt(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-models-"))
        try:
            model = make_model(folder / "m.gguf", shape="tiny", type="q8_0", context=8192,
                               kv_heads=8, layers=8)
            peaks, caches = [], []
            for length in LENGTHS:
                peak, report = peak_bytes(model, length)
                peaks.append(peak)
                caches.append(report["kv_bytes"])
                print(f"{length} tokens: peak {peak >> 10} KiB, KV cache {caches[-1] >> 10} KiB")
        finally:
            shutil.rmtree(folder)
        # A longer prompt takes the KV cache of its tokens and nothing else that grows, but for
        # rounding to huge pages. One matrix of 4096 x 4096 scores would be 64 MiB, the cache 33.
        for longer in range(1, len(LENGTHS)):
            grown = caches[longer] - caches[longer - 1]
            self.assertLess(peaks[longer] - peaks[longer - 1], 1.25 * grown + (4 << 20))


if __name__ == "__main__":
    unittest.main(verbosity=2)
