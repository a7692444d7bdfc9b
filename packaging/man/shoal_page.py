#!/usr/bin/env python3
"""The manual page shoal(1), from what `shoal --help` says of each command.

    packaging/man/shoal_page.py SHOAL            print the page
    packaging/man/shoal_page.py --check SHOAL    compare shoal.1 of this folder with it
    packaging/man/shoal_page.py --write SHOAL    write shoal.1
"""

import argparse
import difflib
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).with_name("shoal.1")
HELP_COLUMN = 30  # where the help explains an option


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("`", "\\(ga")
    return "\\&" + text if text.startswith((".", "'")) else text


class Help:
    """The help of one command: `summary`, `usage`, lists of (term, text), and the text below."""

    def __init__(self, shoal, command):
        # No variable of whoever runs this may show as a default.
        text = subprocess.run([shoal, *command, "--help"], check=True, capture_output=True,
                              text=True, env={"LC_ALL": "C.UTF-8"}).stdout
        lines = text.splitlines()
        self.summary = lines[0]
        self.usage = next(line for line in lines if line.startswith("Usage: ")).split(": ", 1)[1]
        self.lists, self.footer, section = {}, [], None
        for line in lines[lines.index("Usage: " + self.usage) + 1:]:
            if line in ("Options:", "Positionals:", "Subcommands:"):
                section = self.lists.setdefault(line[:-1], [])
            elif section is None or not line.strip():
                if self.lists:
                    section = None
                    self.footer.append(line)
            elif line.startswith(" " * HELP_COLUMN):
                section[-1] = (section[-1][0], line.strip())
            else:
                term, _, about = line.strip().partition("  ")
                if not about and len(line) > HELP_COLUMN and line[HELP_COLUMN - 1] == " ":
                    term, about = line[:HELP_COLUMN].strip(), line[HELP_COLUMN:]
                section.append((term, about.strip()))

    def options(self):
        return [o for o in self.lists.get("Options", []) if "--help" not in o[0]]

    def commands(self):
        return [name for name, _ in self.lists.get("Subcommands", [])]


def entries(pairs):
    out = []
    for term, about in pairs:
        names, _, value = term.partition(" ")
        flags, equals, default = names.partition("=")
        value = (value + equals + default).strip()
        out += [".TP", f".BR {roff(flags)} \" {roff(value)}\"" if value else f".B {roff(flags)}",
                roff(about)]
    return out


def paragraphs(lines):
    out = []
    for line in lines:
        if not line.strip():
            if out and out[-1] != ".PP":
                out.append(".PP")
        else:
            out += [roff(line.strip()), ".br"]
    while out and out[-1] in (".PP", ".br"):
        out.pop()
    return [line for i, line in enumerate(out) if not (line == ".br" and out[i + 1] == ".PP")]


def table(lines):
    """Lines of "term   text", which stay as they are."""
    return [".nf", *map(roff, lines), ".fi"]


def command_part(shoal, words):
    about = Help(shoal, words)
    out = [f".SS {roff(about.usage)}", roff(about.summary) + "."]
    out += entries(about.lists.get("Positionals", [])) + entries(about.options())
    footer = paragraphs(about.footer)
    return out + ([".PP"] if footer and footer[0] != ".PP" else []) + footer


def page(shoal):
    top = Help(shoal, [])
    out = ['.TH SHOAL 1 "" Shoal "Shoal"', ".SH NAME",
           "shoal \\- talk to a language model that runs on several small computers",
           ".SH SYNOPSIS", ".B shoal", ".RI [ options ]", ".I command", ".RI [ arguments ]",
           ".SH DESCRIPTION",
           "Shoal runs one language model on several devices together.", "This is its client: it",
           "asks the daemon", ".BR shoald (8)", "of this device, by its control socket, which is",
           "for root and for members of the group shoal.", ".SH OPTIONS", *entries(top.options()),
           ".SH COMMANDS"]
    for name in top.commands():
        if name == "help":
            continue
        inner = Help(shoal, [name]).commands()
        for words in ([name, sub] for sub in inner) if inner else [[name]]:
            out += command_part(shoal, words)
    blocks = re.split(r"(?m)^(\w[\w ]*):$", "\n".join(top.footer))[1:]
    for title, body in zip(blocks[::2], blocks[1::2]):
        out += [f".SH {roff(title.upper())}", *table([x for x in body.splitlines() if x.strip()])]
    out += [".SH FILES", ".TP", ".I /run/shoal/control.sock",
            "The daemon's socket, unless SHOAL_SOCKET or \\-\\-socket names another.", ".TP",
            ".I ~/.local/state/shoal/history", "What was typed in chats.",
            ".SH SEE ALSO", ".BR shoald (8),", ".BR shoald.toml (5)"]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("shoal")
    options = parser.parse_args()
    wanted = page(options.shoal)
    if options.write:
        PAGE.write_text(wanted)
    elif not options.check:
        sys.stdout.write(wanted)
    elif PAGE.read_text() != wanted:
        sys.stdout.writelines(difflib.unified_diff(
            PAGE.read_text().splitlines(True), wanted.splitlines(True), "shoal.1", "shoal --help"))
        sys.exit(f"{PAGE} is not what shoal --help says; run {__file__} --write SHOAL")


if __name__ == "__main__":
    main()
