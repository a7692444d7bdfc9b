#!/usr/bin/env python3
"""README's pictures of the page: three daemons with the demo's model, in Chromium.

Needs what the test `system-page` needs, and pngquant. SHOALD, SHOAL and MAKE_MODEL name the programs,
as for the tests; without them those of build/ are taken.
"""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
from cluster import Cluster, SHOALD  # noqa: E402
from page_test import SOURCES, chromium  # noqa: E402
import npm  # noqa: E402

PICTURES = ROOT / "packaging" / "screenshots"
PACKAGES = pathlib.Path(SHOALD).resolve().parents[1] / "npm-page"
MODEL = ROOT / "packaging" / "demo" / "shoal-demo-q8_0.gguf"
NAMES = ["kitchen", "desk", "attic"]
MOST_BYTES = 150_000


def smaller(path):
    subprocess.run(["pngquant", "--force", "--strip", "--speed", "1", "--output", path, "128", path],
                   check=True)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has {path.stat().st_size} bytes; at most {MOST_BYTES} should be committed")


def main():
    npm.install(SOURCES, PACKAGES)
    PICTURES.mkdir(exist_ok=True)
    with Cluster(len(NAMES)) as cluster:
        for name, device in zip(NAMES, cluster.devices):
            device.settings["device.name"] = name
            shutil.copy(MODEL, device.models)
        cluster.start()
        loaded = cluster.devices[0].shoal("load", MODEL.stem)
        assert loaded.returncode == 0, loaded.stderr
        url = f"http://127.0.0.1:{cluster.devices[0].http_port()}"
        subprocess.run(["node", "screenshots.mjs"], cwd=PACKAGES, check=True,
                       env={**os.environ, "SHOAL_URL": url, "CHROMIUM": chromium(),
                            "PICTURES": str(PICTURES)})
    for path in PICTURES.glob("*.png"):
        smaller(path)


main()
