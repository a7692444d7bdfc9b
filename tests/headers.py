#!/usr/bin/env python3
"""Every header compiles alone, and included twice.

One that a source file of the build includes before all else has compiled alone there; the others
are compiled here, with the flags of their folder, and within it of their instruction set:
x_avx512.hpp with those of a y_avx512.cpp.

Needs the build folder (for compile_commands.json) as first argument; further arguments are
unittest's.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["kernels", "config", "mesh", "daemon", "cli"]


def commands(build):
    """(compiler and flags) of one source file in each folder of the repository, and of one for
    each (folder, instruction set) that source files are called after."""
    found, of_isa = {}, {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if not source.is_relative_to(ROOT):
            continue
        words = shlex.split(entry["command"])
        compiler = words[: next(i for i, w in enumerate(words) if w.startswith("-"))]
        flags = [w for w in words if w.startswith(("-I", "-D", "-m", "-std=", "-isystem"))]
        place = source.relative_to(ROOT)
        found.setdefault(place.parent, compiler + flags)
        of_isa.setdefault((place.parent, isa_of(place)), compiler + flags)
    return found, of_isa


def included_first(build):
    """The headers that come before all else in some source file of the build."""
    found = set()
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if source.is_relative_to(ROOT) and (header := first_include(source.read_text())):
            found.add(pathlib.Path(header))
    return found


def first_include(text):
    """The project's header that a source includes before any other line of code, or None."""
    for line in text.splitlines():
        if line and not line.startswith("//"):
            found = re.match(r'#include "(.+)"$', line)
            return found[1] if found else None
    return None


def isa_of(path):
    return path.stem.partition("_")[2]


def flags_for(header, known, of_isa):
    """The command of the header's folder, or of the nearest one that has a source."""
    if (header.parent, isa_of(header)) in of_isa:
        return of_isa[header.parent, isa_of(header)]
    for folder in header.parents:
        if folder in known:
            return known[folder]
        below = [f for f in known if folder in f.parents]
        if below:
            return known[min(below)]
    raise KeyError(header)


def is_for_another_cpu(header, known):
    """True when the header's folder has sources, of which this build compiles none."""
    folder = header.parent
    return folder not in known and any((ROOT / folder).glob("*.cpp"))


def is_built(header, known):
    """False in a folder whose sources this build leaves out: kernels of another kind of CPU."""
    return header.parent in known or not any((ROOT / header.parent).glob("*.cpp"))


def check(header, build, flags):
    """The compiler's complaints about a header, empty when there are none."""
    folder = build / "headers"
    folder.mkdir(exist_ok=True)
    unit = folder / (name_of(header) + ".cpp")
    text = f'#include "{header}"\n' * 2
    # An unchanged file lets the compiler cache see that nothing changed.
    if not unit.exists() or unit.read_text() != text:
        unit.write_text(text)
    command = flags + ["-I", str(ROOT), "-Wall", "-Wextra", "-Werror", "-O0",
                       "-c", str(unit), "-o", str(unit.with_suffix(".o"))]
    done = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or f"exit code {done.returncode}"


def name_of(header):
    return "".join(c if c.isalnum() else "_" for c in header.as_posix())


class Headers(unittest.TestCase):
    """One test a header; main() adds them."""

    build, flags, headers = None, None, []

    def planted(self, content):
        header = self.build / "headers" / "planted.hpp"
        header.parent.mkdir(exist_ok=True)
        header.write_text(content)
        return check(header, self.build, self.flags)

    def test_a_planted_header_that_lacks_an_include_is_found(self):
        self.assertIn("string", self.planted("#pragma once\nstd::string name();\n"))

    def test_a_planted_header_without_pragma_once_is_found(self):
        self.assertEqual(self.planted("#pragma once\nstruct Once {};\n"), "")
        self.assertIn("redefinition", self.planted("struct Twice {};\n"))


    def test_what_comes_first_in_a_source_is_seen_only_there(self):
        self.assertEqual(first_include('// Text.\n\n#include "a/b.hpp"\n#include <map>\n'), "a/b.hpp")
        self.assertIsNone(first_include('#include <map>\n#include "a/b.hpp"\n'))
        self.assertIsNone(first_include('#define X\n#include "a/b.hpp"\n'))
        self.assertIsNone(first_include("int x;\n"))

    def test_every_header_is_read_once(self):
        for header in self.headers:
            with self.subTest(header=str(header)):
                self.assertIn("\n#pragma once\n", "\n" + (ROOT / header).read_text())


def test_of(result):
    def test(self):
        complaints = result.result()
        if complaints:
            self.fail("\n" + complaints)
    return test


def main():
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    known, of_isa = commands(build)
    Headers.build = build
    Headers.flags = flags_for(pathlib.Path("config/any.hpp"), known, of_isa)
    headers = sorted(path.relative_to(ROOT) for folder in FOLDERS
                     for path in (ROOT / folder).rglob("*.hpp")
                     if is_built(path.relative_to(ROOT), known))
    assert headers, f"no headers below {ROOT}"
    Headers.headers = headers
    compiled = included_first(build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header in headers:
            name = "test_" + name_of(header)
            if is_for_another_cpu(header, known):
                setattr(Headers, name, unittest.skip("not built here")(lambda self: None))
                continue
            if header in compiled:
                continue
            flags = flags_for(header, known, of_isa)
            setattr(Headers, name, test_of(pool.submit(check, header, build, flags)))
        unittest.main()


if __name__ == "__main__":
    main()
