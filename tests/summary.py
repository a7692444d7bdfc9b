#!/usr/bin/env python3
"""Counts test cases over suites.

  summary.py collect LABEL testlog.json    lines "label suite passed failed skipped seconds"
  summary.py show RESULTS [testlog.json...]
                                           a table of such lines, and of each suite that failed in
                                           the logs what it printed about that; the last line is
                                           "N passed, N failed"; exit code 1 unless all passed
"""

import json
import pathlib
import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed"
                     r" \|\s*(\d+) skipped")
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_END = re.compile(r"^(?:OK|FAILED)(?: \((.*)\))?$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
GOOD = {"OK", "EXPECTEDFAIL"}
TELLS = re.compile(r": (?:FATAL )?ERROR: |^(?:FAIL|ERROR): |^Traceback")
REPORT = re.compile(r"runtime error: |(?:WARNING|ERROR): \w+Sanitizer")


def count(result, output):
    """(passed, failed, skipped) cases of one suite from Meson's verdict and what it printed.

    A suite whose own count knows of no failure but that Meson saw fail (a crash, a time-out, an
    exit code) has one failed case more; one that counts nothing is a case by itself.
    """
    output = COLOUR.sub("", output)
    passed = failed = skipped = 0
    for match in DOCTEST.finditer(output):
        passed += int(match[2])
        failed += int(match[3])
    for match in UNITTEST.finditer(output):
        end = UNITTEST_END.search(output, match.end())
        words = dict(re.findall(r"([a-z ]+)=(\d+)", end[1] or "")) if end else {}
        words = {name.strip(): int(number) for name, number in words.items()}
        wrong = words.get("failures", 0) + words.get("errors", 0)
        wrong += words.get("unexpected successes", 0)
        wrong = min(wrong, int(match[1]))
        skipped += words.get("skipped", 0)
        failed += wrong
        passed += max(0, int(match[1]) - wrong - words.get("skipped", 0))
    if result == "SKIP":
        return passed, failed, skipped or 1
    if result not in GOOD:
        return passed, max(failed, 1), skipped
    if passed + failed + skipped == 0:
        return 1, 0, 0
    return passed, failed, skipped


def collect(label, log):
    for line in pathlib.Path(log).read_text().splitlines():
        test = json.loads(line)
        output = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
        passed, failed, skipped = count(test["result"], output)
        suite = test["name"].split(" / ")[-1].replace(" ", "_")
        yield f"{label} {suite} {passed} {failed} {skipped} {test['duration']:.1f}"


def telling(output):
    """The lines around those that tell of a failure, and the last ones."""
    lines = output.splitlines()
    kept = set(range(max(0, len(lines) - 25), len(lines)))
    for i, line in enumerate(lines):
        more = 60 if REPORT.search(line) else 12 if TELLS.search(line) else 0
        if more:
            kept.update(range(max(0, i - 8), min(len(lines), i + more)))
    for i in sorted(kept):
        if i - 1 not in kept:
            yield "  ..."
        yield lines[i]


def failures(logs):
    """A log that was not written has none."""
    for log in logs:
        if not pathlib.Path(log).is_file():
            continue
        for line in pathlib.Path(log).read_text().splitlines():
            test = json.loads(line)
            if test["result"] in GOOD or test["result"] == "SKIP":
                continue
            yield f"== {test['name']}: {test['result']} ({log})"
            yield from telling((test.get("stdout") or "") + "\n" + (test.get("stderr") or ""))


def show(lines, told=()):
    """The table with what is told of failures, and whether everything passed."""
    rows = [line.split() for line in lines if line.strip()]
    head = ["build", "suite", "passed", "failed", "skipped", "seconds"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    text = []
    for row in [head, *rows]:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        text.append("  ".join(cells) + ("  FAILED" if row is not head and int(row[3]) else ""))
    text.extend(told)
    passed, failed = (sum(int(row[i]) for row in rows) for i in (2, 3))
    text.append(f"{passed} passed, {failed} failed")
    return "\n".join(text), failed == 0 and passed > 0


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "collect":
        print("\n".join(collect(sys.argv[2], sys.argv[3])))
    elif len(sys.argv) >= 3 and sys.argv[1] == "show":
        text, fine = show(pathlib.Path(sys.argv[2]).read_text().splitlines(),
                          failures(sys.argv[3:]))
        print(text)
        sys.exit(0 if fine else 1)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
