"""What packages bring besides the programs: manual pages, completions, the unit."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent / "packaging"
SHOAL = pathlib.Path(sys.argv.pop(1))
UNIT = ROOT / "debian" / "shoal.shoald.service"


def run(*command, **options):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, **options)


class ManualPages(unittest.TestCase):
    def test_the_clients_page_is_what_its_help_says(self):
        result = run(sys.executable, ROOT / "man" / "shoal_page.py", "--check", SHOAL)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    @unittest.skipUnless(shutil.which("groff"), "groff is not here")
    def test_pages_are_formatted_without_complaint(self):
        for page in sorted((ROOT / "man").glob("*.[158]")):
            with self.subTest(page.name):
                result = run("groff", "-man", "-Tutf8", "-ww", "-Z", page)
                self.assertEqual(result.stderr, "")


class Completions(unittest.TestCase):
    SCRIPT = """
        source "$1"
        COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
        _shoal
        printf '%s\\n' "${COMPREPLY[@]}"
    """

    def complete(self, *words):
        path = {**os.environ, "PATH": f"{SHOAL.parent}:{os.environ['PATH']}", "SHOAL_SOCKET": "/none"}
        result = run("bash", "-c", self.SCRIPT, "-", ROOT / "completions" / "shoal.bash", *words,
                     env=path, cwd=ROOT / "demo")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split()

    def test_bash_completes_commands(self):
        self.assertEqual(self.complete("shoal", "st"), ["status"])
        self.assertLessEqual({"chat", "run", "status", "key"}, set(self.complete("shoal", "")))
        self.assertEqual(self.complete("shoal", "key", ""), ["new", "show-fingerprint"])
        self.assertEqual(self.complete("shoal", "devices", ""), ["list", "rename", "forget"])
        self.assertEqual(self.complete("shoal", "help", "to"), ["tokenize"])

    def test_bash_completes_options_of_the_command_and_of_all(self):
        self.assertEqual(self.complete("shoal", "run", "m", "--temp"), ["--temperature"])
        self.assertEqual(self.complete("shoal", "status", "--w"), ["--watch"])
        self.assertEqual(self.complete("shoal", "run", "--js"), ["--json"])
        self.assertEqual(self.complete("shoal", "--color", "n"), ["never"])

    def test_bash_completes_files_where_models_may_be_named(self):
        self.assertEqual(self.complete("shoal", "run", "shoal-d"), ["shoal-demo-q8_0.gguf"])

    def test_the_other_shells_read_theirs(self):
        for shell, script in (("zsh", "_shoal"), ("fish", "shoal.fish")):
            if shutil.which(shell):
                with self.subTest(shell):
                    result = run(shell, "-n", ROOT / "completions" / script)
                    self.assertEqual((result.returncode, result.stderr), (0, ""))


class Unit(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not here")
    def test_it_is_hardly_exposed(self):
        out = run("systemd-analyze", "security", "--offline=true", UNIT).stdout
        self.assertLessEqual(float(re.search(r"exposure level.*: ([\d.]+)", out)[1]), 2.0)

    def test_the_daemons_own_watchdog_comes_first(self):
        # It says what hangs, which systemd cannot.
        seconds = int(re.search(r"(?m)^WatchdogSec=(\d+)s$", UNIT.read_text())[1])
        header = (ROOT.parent / "daemon" / "loop" / "watchdog.hpp").read_text()
        own = int(re.search(r"hopeless\{([\d']+)\}", header)[1].replace("'", "")) / 1000
        self.assertGreater(seconds, own)


class Scripts(unittest.TestCase):
    def test_what_they_do_not_know_is_refused_by_name(self):
        for script in ("package.sh", "test.sh", "reproduce.sh", "cluster_test.sh"):
            result = run(ROOT / script, "--nonsense")
            self.assertEqual(result.returncode, 2)
            self.assertIn("--nonsense", result.stderr)
            self.assertIn("Usage:", run(ROOT / script, "--help").stdout)


if __name__ == "__main__":
    unittest.main()
