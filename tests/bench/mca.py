#!/usr/bin/env python3
"""Estimates what a kernel's inner loops cost on an ARM CPU that is not here, with llvm-mca.

SYMBOL is a regular expression over demangled names. Every innermost loop of a matching function
(from a backward branch's target to the branch) that multiplies bytes is shown: its instructions,
the weights that it multiplies by each row of x, cycles of one iteration, and cycles for each byte
of weights and row of x. The products of an instruction are known, those of a loop are counted; how
many rows of x share them has to be said, for each loop in the order shown.

A model knows pipes and latencies; every load hits the first-level cache.
"""

import argparse
import re
import subprocess

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
BRANCH = re.compile(r"^(?:b|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\d+,)\s+([0-9a-f]+)\b")
# Products of bytes that an instruction makes.
PRODUCTS = ((re.compile(r"^su?dot\s+v\d+\.4s"), 16), (re.compile(r"^us?mmla\s+v\d+\.4s"), 32),
            (re.compile(r"^smmla\s+v\d+\.4s"), 32), (re.compile(r"^sm[lu][al]l2?\s+v\d+\.8h"), 8))


def products(text):
    return sum(count for pattern, count in PRODUCTS if pattern.match(text))


def functions(objdump, path, pattern):
    """(name, [(address, text)]) of the matching functions."""
    listing = subprocess.run([objdump, "-dC", "--no-show-raw-insn", path], check=True,
                             capture_output=True, text=True).stdout
    name, body = None, []
    for line in listing.splitlines():
        start = FUNCTION.match(line)
        if start:
            if name and body:
                yield name, body
            name = start[1] if re.search(pattern, start[1]) else None
            body = []
            continue
        found = INSTRUCTION.match(line)
        if name and found:
            text = re.split(r"\s+//|\s+<", found[2])[0].strip()
            body.append((int(found[1], 16), text))
    if name and body:
        yield name, body


def loops(body):
    """Innermost loops: those that contain no whole other one and multiply."""
    place = {address: i for i, (address, _) in enumerate(body)}
    spans = []
    for i, (address, text) in enumerate(body):
        branch = BRANCH.match(text)
        target = int(branch[1], 16) if branch else None
        if target in place and target <= address:
            spans.append((place[target], i))
    spans = [s for s in spans if any(products(t) for _, t in body[s[0]:s[1] + 1])]
    inner = [s for s in spans
             if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[text for _, text in body[first:last + 1]] for first, last in inner]


def cycles(code, mcpu, arch, iterations=100):
    """Cycles of one iteration. Branches out of the loop are taken as never taken."""
    lines = [re.sub(BRANCH, lambda b: b[0][:b.start(1) - b.start()] + "loop", t) for t in code]
    source = f".arch {arch}\nloop:\n" + "\n".join(lines) + "\n"
    out = subprocess.run(["llvm-mca-19", "-march=aarch64", f"-mcpu={mcpu}",
                          f"-iterations={iterations}", "-instruction-info=false",
                          "-resource-pressure=false"],
                         input=source, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", out)[1]) / iterations


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("object")
    parser.add_argument("symbol")
    parser.add_argument("--mcpu", required=True)
    parser.add_argument("--bits", type=float, required=True, help="of a weight in the file")
    parser.add_argument("--rows", type=int, nargs="+", default=[1],
                        help="rows of x in each loop; the last is for those that follow too")
    parser.add_argument("--arch", default="armv8.6-a")
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    args = parser.parse_args()
    seen = 0
    for name, body in functions(args.objdump, args.object, args.symbol):
        short = re.sub(r"shoal::kernels::|vector::|arm::|\(anonymous namespace\)::", "", name)
        print(short[:100])
        for i, code in enumerate(loops(body)):
            seen += 1
            rows = args.rows[min(i, len(args.rows) - 1)]
            each = cycles(code, args.mcpu, args.arch)
            weights = sum(map(products, code)) / rows
            print(f"  loop {i}: {len(code):4} instructions, {rows} x {weights:.0f} weights, "
                  f"{each:6.1f} cycles, {each / rows / weights / (args.bits / 8):.3f} a byte and row")
    if seen == 0:
        raise SystemExit(f"no loop that multiplies bytes in {args.symbol!r} of {args.object}")


if __name__ == "__main__":
    main()
