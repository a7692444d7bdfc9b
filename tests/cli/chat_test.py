#!/usr/bin/env python3
"""`shoal chat` at a terminal of eighty columns: keys in, screen out.

Usage: chat_test.py SHOAL CHAT_DAEMON [unittest's options]
"""

import codecs
import fcntl
import json
import os
import pathlib
import pty
import queue
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

SHOAL, CHAT_DAEMON = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
PATIENCE = 20.0
PROMPT = ">>> "
CTRL_C, CTRL_D, CTRL_U, UP, ALT_ENTER = "\x03", "\x04", "\x15", "\x1b[A", "\x1b\r"
CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


def screen(raw):
    """The lines that a terminal without an edge shows."""
    rows, row, column, at = [[]], 0, 0, 0
    while at < len(raw):
        command = CONTROL.match(raw, at)
        if command:
            at = command.end()
            count = int(command[1] or 1) if command[1].isdigit() or not command[1] else 1
            if command[2] == "D":
                column = max(0, column - count)
            elif command[2] == "C":
                column += count
            elif command[2] == "K":
                del rows[row][column:]
            continue
        c = raw[at]
        at += 1
        if c == "\r":
            column = 0
        elif c == "\n":
            row += 1
            rows.append([])
        elif c == "\b":
            column = max(0, column - 1)
        elif c >= " ":
            line = rows[row]
            line.extend(" " * (column + 1 - len(line)))
            line[column] = c
            column += 1
    return ["".join(line) for line in rows]


class Daemon:
    def __init__(self, path):
        self.process = subprocess.Popen([CHAT_DAEMON, path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        if (line := self.lines.get(timeout=PATIENCE)) != "ready\n":
            raise AssertionError(f"chat_daemon says {line!r}")

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("the end")

    def asked(self):
        """The next request that arrives."""
        return json.loads(self.lines.get(timeout=PATIENCE))

    def messages(self):
        """Who said what in the next request."""
        return [(m["role"], m["content"]) for m in self.asked()["chat"]["messages"]]

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Chat:
    """The program on a terminal of its own."""

    def __init__(self, folder, *arguments, columns=80, **environment):
        variables = {"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8",
                     "HOME": str(folder), **environment}
        command = [SHOAL, "--socket", str(folder / "s"), "chat", *arguments]
        self.raw = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.seen = 0
        self.status = None
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # Whoever runs the tests may have had it ignored, as nohup does.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(SHOAL, command, variables)

    def read_some(self, seconds):
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:  # The other side has gone.
            return False
        self.raw += self.decode(data)
        return bool(data)

    def wait_for(self, text):
        """Reads until the text has come, after what was waited for before; gives what came."""
        end = time.monotonic() + PATIENCE
        while (found := self.raw.find(text, self.seen)) < 0:
            if time.monotonic() > end or not self.read_some(0.1):
                raise AssertionError(f"no {text!r} in {self.raw[self.seen:]!r}")
        came = self.raw[self.seen:found + len(text)]
        self.seen = found + len(text)
        return came

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def say(self, line):
        """Types a line at the prompt and gives the screen until the next prompt."""
        self.type(line + "\r")
        self.wait_for("\n")
        lines = screen(self.wait_for("\x1b[?2004h"))
        self.wait_for(PROMPT)
        return "\n".join(lines)

    def leave(self):
        """Types Ctrl-D, at the beginning of a line, until it is heard."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.type(CTRL_U + CTRL_D)
            pause = time.monotonic() + 1
            while time.monotonic() < pause:
                if not self.read_some(0.1):
                    return self.code()
        raise AssertionError(f"does not end: {self.raw[self.seen:]!r}")

    def code(self):
        """Waits for the end."""
        end = time.monotonic() + PATIENCE
        while self.read_some(0.1):
            if time.monotonic() > end:
                raise AssertionError(f"does not end: {self.raw[self.seen:]!r}")
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)


class ChatTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shoal-chat-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.daemon = Daemon(str(self.folder / "s"))
        self.addCleanup(lambda: self.daemon.close())

    def chat(self, *arguments, **more):
        """A chat that waits at its prompt."""
        chat = Chat(self.folder, *arguments, **more)
        self.addCleanup(chat.close)
        chat.wait_for(PROMPT)
        return chat

    def test_a_conversation_goes_on_with_all_that_was_said(self):
        chat = self.chat("parrot", "--system", "Be a parrot.")
        self.assertIn("This is parrot.", chat.raw)
        self.assertIn("You said: Hello\n", chat.say("Hello"))
        self.assertEqual(self.daemon.messages(), [("system", "Be a parrot."), ("user", "Hello")])
        chat.say("and gr\u00fc\u00df dich \u4f60\u597d")
        self.assertEqual(self.daemon.messages()[2:], [
            ("assistant", "You said: Hello"), ("user", "and gr\u00fc\u00df dich \u4f60\u597d")])
        self.assertEqual(chat.leave(), 0)

    def test_ctrl_c_stops_the_answer_and_what_came_is_kept(self):
        chat = self.chat()
        chat.type("endless\r")
        chat.wait_for("It goes on")
        chat.type(CTRL_C)
        chat.wait_for(PROMPT)
        self.daemon.asked()
        chat.say("more")
        self.assertEqual(self.daemon.messages(), [
            ("user", "endless"), ("assistant", "It goes on"), ("user", "more")])

    def test_ctrl_c_at_the_prompt_clears_the_line_and_twice_leaves(self):
        chat = self.chat()
        chat.type("half a mess")
        chat.wait_for("mess")
        chat.type(CTRL_C)
        chat.wait_for("Ctrl-C once more leaves")
        chat.wait_for(PROMPT)
        self.assertIn("You said: whole", chat.say("whole"))
        chat.type(CTRL_C)
        chat.wait_for("once more")
        chat.wait_for(PROMPT)
        chat.type(CTRL_C)
        self.assertEqual(chat.code(), 130)

    def test_a_terminal_that_goes_and_a_request_to_end_are_obeyed(self):
        chat = self.chat()
        os.kill(chat.pid, signal.SIGTERM)
        self.assertEqual(chat.code(), 128 + signal.SIGTERM)
        chat = self.chat()
        chat.type("endless\r")
        chat.wait_for("It goes on")
        os.kill(chat.pid, signal.SIGHUP)
        self.assertEqual(chat.code(), 128 + signal.SIGHUP)

    def test_commands(self):
        chat = self.chat()
        self.assertIn("did you mean /stats?", chat.say("/stat"))
        self.assertIn("There is no answer yet", chat.say("/stats"))
        self.assertIn("nothing has been asked yet", chat.say("/undo"))
        self.assertIn("temperature is -1", chat.say("/set temperature -1"))
        self.assertEqual(chat.say("/set temperature 0.5"), "")
        self.assertIn("temperature 0.5", chat.say("/set temperature"))
        chat.say("/set think off")
        chat.say("one")
        asked = self.daemon.asked()
        self.assertEqual(asked["temperature"], 0.5)
        self.assertIs(asked["chat"]["enable_thinking"], False)
        self.assertIn("Answer    10 tokens in 2.00 s (5.0 tokens/s)", chat.say("/stats"))
        self.assertIn("You said: one", chat.say("/regenerate"))
        self.assertEqual(self.daemon.messages(), [("user", "one")])
        chat.say("two")
        self.daemon.asked()
        self.assertIn("Taken back: two", chat.say("/undo"))
        chat.say("/system Be short.")
        chat.say("three")
        self.assertEqual(self.daemon.messages(), [
            ("system", "Be short."), ("user", "one"), ("assistant", "You said: one"),
            ("user", "three")])
        chat.say("/clear")
        chat.say("four")
        self.assertEqual(self.daemon.messages(), [("system", "Be short."), ("user", "four")])
        chat.type("/bye\r")
        self.assertEqual(chat.code(), 0)

    def test_conversations_are_saved_and_loaded_and_no_file_is_overwritten(self):
        chat = self.chat()
        chat.say("one")
        self.daemon.asked()
        self.assertIn("2 messages are in", chat.say("/save ~/talk.json"))
        file = self.folder / "talk.json"
        before = file.read_text()
        self.assertEqual(len(json.loads(before)["messages"]), 2)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertIn("exists already", chat.say("/save ~/talk.json"))
        self.assertEqual(file.read_text(), before)
        self.assertIn("there is a conversation already", chat.say("/load ~/talk.json"))
        chat.say("/clear")
        self.assertIn("2 messages were in", chat.say("/load ~/talk.json"))
        chat.say("two")
        self.assertEqual(len(self.daemon.messages()), 3)
        chat.say("/clear")
        file.write_text('{"messages": [{"role": "pope"}]}')
        self.assertIn('the role "pope"', chat.say("/load ~/talk.json"))
        self.assertIn("cannot open", chat.say("/load ~/none.json"))

    def test_messages_of_several_lines(self):
        chat = self.chat()
        chat.type("one\\\r")
        chat.wait_for("... ")
        chat.say("two")
        self.assertEqual(self.daemon.messages()[-1], ("user", "one\ntwo"))
        chat.type('"""/help\r')
        chat.wait_for("... ")
        chat.say('there"""')
        self.assertEqual(self.daemon.messages()[-1], ("user", "/help\nthere"))
        chat.type("\x1b[200~a \\\rb\n\x1b[201~")
        time.sleep(0.2)
        self.assertTrue(self.daemon.lines.empty())
        chat.type("c" + ALT_ENTER + "d\r")
        self.assertEqual(self.daemon.messages()[-1], ("user", "a \\\nb\nc\nd"))

    def test_history_is_there_in_the_next_chat(self):
        chat = self.chat(XDG_STATE_HOME=str(self.folder / "state"))
        chat.say("remember me")
        self.daemon.asked()
        chat.type(UP + "!\r")
        self.assertEqual(self.daemon.messages()[-1], ("user", "remember me!"))
        chat.wait_for("You said: remember me!")
        chat.wait_for(PROMPT)
        chat.leave()
        file = self.folder / "state" / "shoal" / "history"
        self.assertEqual(file.read_text(), "remember me\nremember me!\n")
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        chat = self.chat(XDG_STATE_HOME=str(self.folder / "state"))
        chat.type(UP + UP + "\r")
        self.assertEqual(self.daemon.messages(), [("user", "remember me")])

    def test_prose_fits_eighty_columns_and_code_stays_whole(self):
        chat = self.chat()
        lines = chat.say("long").split("\n")
        code = [line for line in lines if line.startswith("ccc")]
        self.assertEqual(code, ["c" * 150])
        prose = [line for line in lines if line.startswith("word")]
        self.assertLess(max(map(len, prose)), 80)
        self.assertEqual(" ".join(prose).split(), [f"word{i * i}" for i in range(120)])
        self.assertGreater(min(map(len, prose[:-1])), 60)

    def test_thinking_is_faint_or_hidden_and_told_apart_without_colour(self):
        chat = self.chat()
        chat.say("think")
        self.assertIn("\x1b[2mHmm.\x1b[0m\r\n\r\nYes.", chat.raw)
        chat.say("/set think hidden")
        self.assertNotIn("Hmm.", chat.say("think"))
        plain = self.chat(NO_COLOR="1")
        self.assertIn("Thinking:\nHmm.\n\nAnswer:\nYes.\n", plain.say("think"))
        self.assertNotRegex(plain.raw, r"\x1b\[[0-9;]*m")

    def test_a_daemon_that_goes_and_comes_back_costs_one_message(self):
        chat = self.chat()
        chat.say("one")
        self.daemon.close()
        self.assertIn("the daemon is not running", lost := chat.say("two"))
        self.assertIn("/regenerate asks again", lost)
        self.daemon = Daemon(str(self.folder / "s"))
        self.assertIn("You said: two", chat.say("/regenerate"))
        self.assertEqual(len(self.daemon.messages()), 3)

    def test_a_full_context_is_explained_and_the_conversation_kept(self):
        chat = self.chat()
        chat.say("one")
        self.daemon.asked()
        told = chat.say("full")
        self.daemon.asked()
        self.assertIn("5000 tokens are too many", told)
        self.assertIn("/undo", told)
        self.assertIn("/clear", told)
        chat.say("two")
        self.assertEqual(self.daemon.messages(), [
            ("user", "one"), ("assistant", "You said: one"), ("user", "two")])

    def test_without_a_locale_text_is_utf_8_all_the_same(self):
        chat = self.chat(LC_ALL="C")
        self.assertIn("gr\u00fc\u00df", chat.say("gr\u00fc\u00df"))
        self.assertEqual(self.daemon.messages(), [("user", "gr\u00fc\u00df")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
