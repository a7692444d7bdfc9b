#!/usr/bin/env python3
"""The files of the page as C++: embed.py OUTPUT.cpp FILE..."""

import pathlib
import sys

# Ends a raw string; a file that holds it would be cut there.
MARK = "page-file"

HEAD = """// Made by embed.py.
#include "daemon/http/page/files.hpp"

namespace shoal::http::page {
namespace {

constexpr File kAllFiles[] = {
"""
TAIL = """};

}  // namespace

const std::span<const File> kFiles = kAllFiles;

}  // namespace shoal::http::page
"""


def entry(path):
    text = path.read_text(encoding="utf-8")
    if f"){MARK}\"" in text:
        sys.exit(f"{path}: the text holds ){MARK}\", which ends it in the program; write it otherwise")
    return f'    {{"{path.name}", R"{MARK}({text}){MARK}"}},\n'


def main(output, *files):
    entries = "".join(entry(pathlib.Path(file)) for file in files)
    pathlib.Path(output).write_text(HEAD + entries + TAIL, encoding="utf-8")


main(*sys.argv[1:])
