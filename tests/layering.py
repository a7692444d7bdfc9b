#!/usr/bin/env python3
"""Who may include whom: reads every #include and enforces the table below.

Run without arguments it tests itself on planted trees and then this repository.
`tests/layering.py --list` prints the violations alone.
"""

import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A folder, the longest that matches, may include itself and what stands behind it. The order is
# downward: a folder includes only folders above it in this list.
MESH = ["mesh/wire", "mesh/messages", "mesh/transport", "mesh/discovery", "mesh/joining",
        "mesh/membership", "mesh/exchange", "mesh"]
MODEL = ["kernels", "daemon/model", "daemon/shard", "daemon/planner", "daemon/exec"]
ALLOWED = {
    "kernels": [],
    "mesh/disk": [],
    "config": [],
    "mesh/wire": ["config"],
    "mesh/messages": ["mesh/wire"],
    "mesh/transport": ["mesh/disk", "config", "mesh/wire"],
    "mesh/discovery": ["mesh/disk", "config", "mesh/wire", "mesh/messages", "mesh/transport"],
    "mesh/joining": ["mesh/wire", "mesh/transport", "mesh/discovery"],
    "mesh/membership": ["config", "mesh/wire"],
    "mesh/exchange": ["config", "mesh/wire", "mesh/transport"],
    "mesh": ["config"] + MESH[:-1],
    "daemon/model": ["mesh/disk", "kernels"],
    "daemon/jinja": [],
    "daemon/chat": ["daemon/jinja"],
    "daemon/shard": ["daemon/model"],
    "daemon/planner": ["kernels", "daemon/model", "daemon/shard"],
    "daemon/grammar": [],
    # Of a grammar a step knows the mask alone: which tokens may be chosen.
    "daemon/exec": ["kernels", "daemon/model", "daemon/shard", "daemon/grammar"],
    "daemon/measure": MODEL,
    # What is counted, wherever that is, until /metrics shows it.
    "daemon/metrics": [],
    "daemon/loop": ["daemon/metrics"],
    "daemon/log": [],
    "daemon/links": ["mesh/wire", "mesh/exchange", "daemon/loop"],
    # An open model keeps what is made of its file once: the vocabulary for grammars, the templates.
    "daemon/pieces": ["mesh/disk", "mesh/wire", "mesh/messages", "daemon/model", "daemon/grammar", "daemon/jinja",
                      "daemon/loop", "daemon/log"],
    # What it computed is kept in files.
    "daemon/engine": ["mesh/disk"] + MESH + MODEL + ["daemon/chat", "daemon/grammar", "daemon/loop", "daemon/log",
                                    "daemon/pieces"],
    "daemon/plan": ["config"] + MESH + MODEL + ["daemon/loop", "daemon/log", "daemon/pieces",
                                                "daemon/engine"],
    "daemon/requests": MESH + ["daemon/model", "daemon/chat", "daemon/metrics", "daemon/loop", "daemon/log", "daemon/pieces",
                               "daemon/engine", "daemon/plan"],
    # What decides, over ports: neither mesh/transport nor anything else with a socket.
    "daemon/core": ["config", "mesh/wire", "mesh/messages", "mesh", "daemon/loop", "daemon/log", "daemon/links",
                    "daemon/pieces", "daemon/engine", "daemon/plan", "daemon/requests"],
    "daemon/contact": ["mesh/disk", "config"] + MESH + ["daemon/loop", "daemon/log", "daemon/requests"],
    # The request messages are what the HTTP API translates.
    "daemon/http": ["config", "mesh/wire", "mesh/messages", "daemon/chat", "daemon/metrics", "daemon/requests"],
    "daemon": ["mesh/disk", "config"] + MESH + MODEL + ["daemon/measure", "daemon/metrics", "daemon/loop", "daemon/log", "daemon/links", "daemon/pieces",
                                           "daemon/engine", "daemon/plan", "daemon/requests",
                                           "daemon/core", "daemon/contact", "daemon/http"],
    "cli": ["mesh/disk", "config", "daemon/model", "daemon/shard", "daemon/planner"] + MESH,
}
ANYTHING = "tests"
SOURCES = {".hpp", ".cpp", ".h", ".c", ".cc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def unit_of(path):
    """The folder of the table that a path (from the root, with '/') belongs to, or None."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        folder = "/".join(parts[:length])
        if folder in ALLOWED or folder == ANYTHING:
            return folder
    return None


def sources(root):
    """Every source file below root but build folders and hidden ones."""
    for entry in sorted(root.iterdir()):
        if entry.name.startswith((".", "build", "__")):
            continue
        if entry.is_dir():
            yield from sources(entry)
        elif entry.suffix in SOURCES:
            yield entry


def judge(root, source, quote, target):
    """What is wrong with `source` including `target`, or None. Both are paths from the root."""
    exists = (root / target).is_file()
    if quote == "<":
        # Only this project's own headers are of interest here.
        return f'write "{target}", with quotes' if exists and unit_of(target) else None
    mine, theirs = unit_of(source), unit_of(target)
    if theirs is None:
        return f'"{target}" is in no folder of the table; includes start at the repository root'
    if mine in (theirs, ANYTHING):
        return None
    if theirs in ALLOWED[mine]:
        return None
    may = ", ".join(ALLOWED[mine]) or "nothing else"
    return f'{mine} may not include {theirs} ("{target}"); it may include {may}'


def violations(root):
    found = []
    for path in sources(root):
        source = path.relative_to(root).as_posix()
        if unit_of(source) is None:
            found.append(f"{source}:1: a folder that the table does not know")
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if match and (wrong := judge(root, source, match[1], match[2])):
                found.append(f"{source}:{number}: {wrong}")
    return found


class Layering(unittest.TestCase):
    def planted(self, files):
        """The violations of a tree made of {path: content}."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
            return violations(root)

    def test_the_table_only_points_down(self):
        order = list(ALLOWED)
        for unit, targets in ALLOWED.items():
            for target in targets:
                self.assertLess(order.index(target), order.index(unit), f"{unit} -> {target}")

    def test_a_planted_upward_include_is_found_with_file_and_line(self):
        found = self.planted({
            "daemon/exec/forward.hpp": "#pragma once\n",
            "kernels/a.cpp": '#include <cmath>\n\n  #  include "daemon/exec/forward.hpp"\n',
        })
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith("kernels/a.cpp:3: kernels may not include daemon/exec"))

    def test_every_pair_outside_the_table_is_refused_and_every_pair_in_it_accepted(self):
        for mine, targets in ALLOWED.items():
            for theirs in ALLOWED:
                found = self.planted({f"{theirs}/there.hpp": "",
                                      f"{mine}/here.cpp": f'#include "{theirs}/there.hpp"\n'})
                fine = theirs == mine or theirs in targets
                self.assertEqual(len(found), 0 if fine else 1, f"{mine} -> {theirs}: {found}")

    def test_tests_may_include_anything_and_nobody_includes_tests(self):
        files = {"cli/a.hpp": "", "tests/help.hpp": "", "tests/t.cpp": '#include "cli/a.hpp"\n'}
        self.assertEqual(self.planted(files), [])
        files["cli/b.cpp"] = '#include "tests/help.hpp"\n'
        self.assertEqual(len(self.planted(files)), 1)

    def test_sub_folders_belong_to_the_folder_of_the_table_above_them(self):
        self.assertEqual(unit_of("daemon/model/tokenizer/bpe.cpp"), "daemon/model")
        self.assertEqual(unit_of("kernels/x86/a_avx2.cpp"), "kernels")
        self.assertEqual(unit_of("mesh/node.cpp"), "mesh")
        self.assertIsNone(unit_of("main.cpp"))

    def test_relative_disguised_and_unknown_includes_are_refused(self):
        self.assertEqual(len(self.planted({"cli/a.hpp": "", "cli/b.cpp": '#include "a.hpp"\n'})), 1)
        self.assertEqual(len(self.planted({"kernels/a.hpp": "", "config/a.cpp":
                                           "#include <kernels/a.hpp>\n"})), 1)
        self.assertEqual(len(self.planted({"util/a.hpp": ""})), 1)
        self.assertEqual(len(self.planted({"util/a.hpp": "", "cli/b.cpp":
                                           '#include "util/a.hpp"\n'})), 2)

    def test_build_folders_and_hidden_ones_are_not_read(self):
        bad = '#include "nowhere.hpp"\n'
        self.assertEqual(len(self.planted({"cli/a.cpp": bad})), 1)
        self.assertEqual(self.planted({"build-x/cli/a.cpp": bad, ".cache/cli/a.cpp": bad}), [])

    def test_this_repository_keeps_the_table(self):
        self.assertGreater(sum(1 for _ in sources(ROOT)), 10)
        found = violations(ROOT)
        self.assertEqual(found, [], "\n" + "\n".join(found))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(violations(ROOT)))
    else:
        unittest.main()
