"""A daemon under a service manager: what it tells systemd, its log for the journal, SIGHUP, and the
key that it makes at its first start."""

import os
import re
import signal
import socket
import stat
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, wait_for  # noqa: E402


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(1)
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.device = self.cluster.devices[0]
        self.file = self.device.folder / "shoald.toml"
        # What the file is to say is no flag, which would go before it.
        for key in ("models.directories", "http.port", "plan.min_devices"):
            self.device.settings.pop(key, None)
        self.write('http.port = 0\n[log]\nlevel = "info"')

    def write(self, text):
        self.file.write_text(f'models.directories = ["{self.device.models}"]\n{text}\n')

    def start(self, watchdog_usec=0):
        """Starts the daemon as systemd would; what it says comes to `self.said`."""
        self.said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.said.close)
        path = str(self.device.folder / "notify")
        self.said.bind(path)
        self.said.settimeout(PATIENCE)
        os.environ["NOTIFY_SOCKET"] = path
        if watchdog_usec:
            os.environ["WATCHDOG_USEC"] = str(watchdog_usec)
        try:
            self.device.start()
        finally:
            os.environ.pop("NOTIFY_SOCKET")
            os.environ.pop("WATCHDOG_USEC", None)
        self.assertEqual(self.hear(), "READY=1")

    def hear(self):
        return self.said.recv(4096).decode()

    def reload(self):
        """What the log says of a reload."""
        before = len(self.device.log())
        self.device.process.send_signal(signal.SIGHUP)
        self.assertRegex(self.hear(), r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        self.assertEqual(self.hear(), "READY=1")
        return self.device.log()[before:]

    def test_the_control_loop_feeds_the_watchdog_and_a_stopped_daemon_does_not(self):
        self.start(watchdog_usec=300_000)
        begun = time.monotonic()
        for _ in range(10):
            self.assertEqual(self.hear(), "WATCHDOG=1")
        self.assertLess(time.monotonic() - begun, 10)
        self.device.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        self.said.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                self.said.recv(4096)
        self.device.process.send_signal(signal.SIGCONT)

    def test_stopping_is_told(self):
        self.start()
        self.assertEqual(self.device.stop(), 0)
        self.assertEqual(self.hear(), "STOPPING=1")

    def test_a_reload_applies_what_it_can_and_names_what_it_cannot(self):
        self.start()
        self.assertIn("are the same", self.reload())
        folder = self.cluster.folder / "more"
        folder.mkdir()
        self.file.write_text(f'models.directories = ["{folder}"]\nhttp.port = 1234\n'
                             'http.client_requests = 3\n[plan]\nmin_devices = 2\n[log]\nlevel = "warn"\n')
        log = self.reload()
        self.assertIn(f'info models.directories is now ["{folder}"]', log)
        self.assertIn("info plan.min_devices is now 2", log)
        self.assertIn("info http.client_requests is now 3", log)
        self.assertIn('info log.level is now "warn"', log)
        self.assertIn("warning http.port = 1234 takes a restart of the daemon; until then it is 0",
                      log)
        # The same again: what takes a restart is named again, what was applied is not.
        log = self.reload()
        self.assertIn("http.port", log)
        self.assertNotIn("is now", log)
        self.assertIsNotNone(self.device.status())

    def test_a_file_that_cannot_be_used_changes_nothing(self):
        self.start()
        self.write('http.port = 0\n[log]\nlevel = "loud"')
        log = self.reload()
        self.assertIn("the settings stay as they were", log)
        self.assertIn("shoald.toml:4: log.level", log)
        self.file.unlink()
        self.assertIn("cannot open the configuration file", self.reload())
        self.assertIsNotNone(self.device.status())

    def test_lines_for_the_journal_begin_with_their_priority_and_have_no_time(self):
        with open(self.device.folder / "log", "ab") as log:
            info = os.fstat(log.fileno())
        os.environ["JOURNAL_STREAM"] = f"{info.st_dev}:{info.st_ino}"
        self.addCleanup(os.environ.pop, "JOURNAL_STREAM")
        self.device.settings["cluster.encrypt"] = "control"
        self.start()
        wait_for("a log", self.device.log)
        self.assertRegex(self.device.log(), r"(?m)^<6>shoald \d")
        self.assertRegex(self.device.log(), r"(?m)^<4>activations travel in clear")
        for line in self.device.log().splitlines():
            self.assertRegex(line, r"^<[2-7]>[^0-9]")
        self.device.stop()
        self.device.settings["http.port"] = "none"
        self.device.start().process.wait(PATIENCE)
        self.assertRegex(self.device.log(), r"(?m)^<3>--http.port: ")

    def test_a_key_that_nobody_named_is_made_once_and_a_named_one_must_be_there(self):
        del self.device.settings["cluster.key_file"]
        self.start()
        key = self.device.folder / "state" / "cluster.key"
        made = key.read_text()
        self.assertRegex(made, r"^shoal1-[-0-9a-z]+\n$")
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        self.assertIn(f"made a cluster key, {key}", self.device.log())
        self.assertEqual(self.device.stop(), 0)
        self.device.start()
        wait_for("a daemon", self.device.status)
        self.assertEqual(key.read_text(), made)
        self.assertEqual(len(re.findall("made a cluster key", self.device.log())), 1)
        self.device.stop()
        self.device.settings["cluster.key_file"] = self.cluster.folder / "none.key"
        self.assertEqual(self.device.start().process.wait(PATIENCE), 1)
        self.assertIn("there is no cluster key at", self.device.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
