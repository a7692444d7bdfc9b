"""Packages of npm for tests, beside the build so that they are fetched once for all runs."""

import json
import re
import shutil
import subprocess
import unittest

INSTALL_LIMIT = 300


def node_version():
    """The major one; 0 without Node.js."""
    if not shutil.which("node"):
        return 0
    found = re.match(r"v(\d+)\.", subprocess.run(["node", "--version"], capture_output=True,
                                                 text=True).stdout)
    return int(found[1]) if found else 0


def wanted(sources):
    return json.loads((sources / "package.json").read_text())["dependencies"]


def registry_answers(package):
    """Whether it can be looked up, soon."""
    command = ["npm", "view", package, "name", "--fetch-retries=0", "--fetch-timeout=10000"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def installed(sources, folder):
    """Whether exactly the versions of package.json are there."""
    for name, version in wanted(sources).items():
        path = folder / "node_modules" / name / "package.json"
        if not path.is_file() or json.loads(path.read_text())["version"] != version:
            return False
    return True


def install(sources, folder):
    """The packages that `sources` names in `folder`, with its scripts beside them. Skips the test
    when they cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("node and npm are not installed")
    folder.mkdir(exist_ok=True)
    for path in [*sources.glob("*.mjs"), sources / "package.json"]:
        shutil.copy(path, folder)
    if installed(sources, folder):
        return
    if not registry_answers(next(iter(wanted(sources)))):
        raise unittest.SkipTest("npm's registry does not answer, and the packages are not here")
    subprocess.run(["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit",
                    "--no-fund"], cwd=folder, check=True, timeout=INSTALL_LIMIT)
