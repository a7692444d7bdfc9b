#!/usr/bin/env python3
"""Rejects weak symbols in the libraries of one ISA.

An inline function or template emitted there was compiled with flags that other CPUs cannot run,
and the linker may keep that copy for the whole program.

usage: weak_symbols.py NM LIBRARY...
"""

import subprocess
import sys

# What nm calls a definition that another object may replace: weak (w, W, v, V) and unique (u).
# An undefined weak reference defines nothing, but nothing here has a reason to make one.
REPLACEABLE = set("wWvVu")
# Type information is data, the same whatever the flags; sanitisers emit it for function types.
HARMLESS = ("typeinfo for ", "typeinfo name for ")


def weak_symbols(nm, library):
    listing = subprocess.run([nm, "--demangle", library], check=True, capture_output=True,
                             text=True).stdout
    found = []
    member = "?"
    kinds = 0
    for line in listing.splitlines():
        if line.endswith(":"):
            member = line[:-1]
            continue
        fields = line.split(maxsplit=2)
        if len(fields) == 2:  # undefined symbols have no address
            fields.insert(0, "")
        if len(fields) != 3:
            continue
        kinds += 1
        if fields[1] in REPLACEABLE and not fields[2].startswith(HARMLESS):
            found.append(f"{library}({member}): {fields[1]} {fields[2]}")
    if kinds == 0:
        raise SystemExit(f"{library}: nm listed no symbols; nothing was checked")
    return found


def main():
    nm, libraries = sys.argv[1], sys.argv[2:]
    found = [line for library in libraries for line in weak_symbols(nm, library)]
    if found:
        print("weak symbols in ISA libraries; give them internal linkage:")
        print("\n".join(found))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
