#!/usr/bin/env python3
"""`shoal status --watch` on a terminal: what is on the screen, and that the terminal is given back.

Usage: watch_test.py SHOAL CHAT_DAEMON [unittest's options]
"""

import codecs
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

SHOAL, CHAT_DAEMON = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
PATIENCE = 20.0
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


class Watch:
    """The program on a terminal of its own, whose other side stays open after its end."""

    def __init__(self, socket, columns=80, rows=24):
        self.terminal, self.inner = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.inner)
        self.raw = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        command = [SHOAL, "--socket", socket, "status", "--watch=0.1"]
        self.process = subprocess.Popen(
            command, stdin=self.inner, stdout=self.inner, stderr=self.inner, start_new_session=True,
            preexec_fn=self.begin,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8"})

    @staticmethod
    def begin():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Whoever runs the tests may ignore it.

    def resize(self, columns, rows):
        # As a terminal does it: the kernel tells the program.
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until, patience=PATIENCE):
        """Reads until something is true of all that came, which it gives."""
        end = time.monotonic() + patience
        while not until(self.raw):
            if time.monotonic() > end:
                raise AssertionError(f"nothing such in {self.raw[-2000:]!r}")
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.raw += self.decode(os.read(self.terminal, 65536))
        return self.raw

    def rows(self):
        """The lines of the last whole frame, without styles."""
        frames = self.raw.split("\x1b[H")
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", frames[-2]).replace("\r", "").split("\n")

    def frames(self, count):
        """Reads so many frames more."""
        before = self.raw.count("\x1b[H")
        self.read(lambda raw: raw.count("\x1b[H") >= before + count + 1)
        return self.rows()

    def end(self):
        """The exit code; all that it wrote has been read then."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError("does not end")
            if select.select([self.terminal], [], [], 0.02)[0]:
                self.raw += self.decode(os.read(self.terminal, 65536))
        while select.select([self.terminal], [], [], 0.1)[0]:
            self.raw += self.decode(os.read(self.terminal, 65536))
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)
        os.close(self.inner)


class WatchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shoal-watch-")
        self.addCleanup(folder.cleanup)
        self.socket = str(pathlib.Path(folder.name) / "s")
        self.daemon = subprocess.Popen([CHAT_DAEMON, self.socket], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop_daemon)
        self.assertEqual(self.daemon.stdout.readline(), "ready\n")

    def stop_daemon(self):
        if not self.daemon.stdin.closed:
            self.daemon.stdin.close()
            self.daemon.wait(PATIENCE)
            self.daemon.stdout.close()

    def watch(self, **options):
        watch = Watch(self.socket, **options)
        self.addCleanup(watch.close)
        watch.read(lambda raw: "q leaves" in raw)
        self.assertTrue(watch.raw.startswith(ENTER))
        return watch

    def check_given_back(self, watch):
        """The terminal is as it was, and shows what it showed."""
        self.assertEqual(termios.tcgetattr(watch.inner), watch.before)
        self.assertEqual(watch.raw.count(ENTER), 1)
        self.assertEqual(watch.raw.count(LEAVE), 1)

    def test_eighty_columns_show_devices_shares_and_progress(self):
        rows = self.watch().frames(2)
        self.assertTrue(all(len(row) <= 80 for row in rows), rows)
        self.assertTrue(any("parrot-a (root)" in row and "█" in row for row in rows), rows)
        self.assertTrue(any("loading" in row and "▒" in row for row in rows), rows)

    def test_it_goes_on_by_itself(self):
        watch = self.watch()
        tokens = lambda: int(re.search(r"(\d+) tokens so far", "\n".join(watch.frames(1)))[1])
        first = tokens()
        watch.frames(3)
        self.assertGreater(tokens(), first)

    def test_q_leaves(self):
        watch = self.watch()
        self.assertNotEqual(termios.tcgetattr(watch.inner), watch.before)
        os.write(watch.terminal, b"xq")
        self.assertEqual(watch.end(), 0)
        self.check_given_back(watch)

    def test_ctrl_c_and_being_told_to_end_give_the_terminal_back(self):
        watch = self.watch()
        os.write(watch.terminal, b"\x03")
        self.assertEqual(watch.end(), 130)
        self.check_given_back(watch)
        for number in (signal.SIGTERM, signal.SIGHUP):
            watch = self.watch()
            watch.process.send_signal(number)
            self.assertEqual(watch.end(), 128 + number)
            self.check_given_back(watch)

    def test_ctrl_z_does_not_leave_the_screen_half_way(self):
        watch = self.watch()
        os.write(watch.terminal, b"\x1a")
        watch.frames(3)
        os.write(watch.terminal, b"q")
        self.assertEqual(watch.end(), 0)

    def test_a_daemon_that_goes_is_told_on_the_screen_that_was_there(self):
        watch = self.watch()
        self.stop_daemon()
        self.assertEqual(watch.end(), 3)
        self.check_given_back(watch)
        self.assertIn("shoal: ", watch.raw[watch.raw.index(LEAVE):])

    def test_another_size_is_taken_at_once(self):
        watch = self.watch(columns=200)
        self.assertTrue(any(len(row) > 90 for row in watch.frames(2)))
        watch.resize(60, 6)
        watch.frames(2)
        rows = watch.rows()
        self.assertLessEqual(len(rows), 6)
        self.assertTrue(all(len(row) <= 60 for row in rows), rows)

    def test_a_pipe_gets_one_status_after_the_other(self):
        process = subprocess.Popen([SHOAL, "--socket", self.socket, "status", "--watch=0.1"],
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        text = b""
        while text.count(b"\nCluster ") < 2:
            text += process.stdout.read1(4096)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 130)
        process.stdout.close()
        self.assertNotIn(b"\x1b", text)


if __name__ == "__main__":
    unittest.main()
