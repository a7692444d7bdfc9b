#!/usr/bin/env python3
"""`shoal doctor` beside real daemons: the faults that files cannot play are made in namespaces."""

import json
import os
import shutil
import socket
import subprocess
import sys
import unittest

import cluster
import network

NOBODY = 65534


def examine(prefix, *arguments):
    """(exit code, report) of the doctor, run behind a prefix."""
    command = [*prefix, cluster.SHOAL, "--json", "doctor", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=cluster.PATIENCE)
    if not result.stdout:
        raise AssertionError(f"{command} ended with {result.returncode}: {result.stderr}")
    return result.returncode, json.loads(result.stdout)


def found(report, check):
    return [f for f in report["findings"] if f["check"] == check]


class HostTest(unittest.TestCase):
    """Two hosts in namespaces of their own."""

    @classmethod
    def setUpClass(cls):
        cls.net = network.Network(2)
        cls.addClassCleanup(cls.net.__exit__)
        cls.net.__enter__()
        # Devices meet by either family, and here it is to be known by which.
        for prefix in cls.net.prefixes():
            subprocess.run([*prefix, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"],
                           check=True)
        cls.devices = cluster.Cluster(2, prefixes=cls.net.prefixes())
        cls.addClassCleanup(cls.devices.close)
        cls.devices.start()
        # As systemd has it: everybody may ping.
        cls.at("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        cls.at("nft", "add", "table", "inet", "doctor")
        cls.at("nft", "add", "chain", "inet", "doctor", "in",
               "{ type filter hook input priority 0; }")

    @classmethod
    def at(cls, *command):
        subprocess.run([*cls.net.prefixes()[0], *command], check=True, capture_output=True)

    def doctor(self, *arguments):
        device = self.devices.devices[0]
        return examine(device.prefix, "--socket", device.socket,
                       "--config", device.folder / "shoald.toml", *arguments)[1]

    def drop(self, *match):
        self.at("nft", "add", "rule", "inet", "doctor", "in", "icmp", "type", "echo-reply", *match,
                "drop")
        self.addCleanup(self.at, "nft", "flush", "chain", "inet", "doctor", "in")

    def test_a_good_way_is_fine(self):
        report = self.doctor()
        for check in ("daemon", "devices", "loss", "routes", "interfaces", "version"):
            self.assertEqual(report["checks"][check], "fine", report)
        self.assertIn(report["checks"]["round-trip"], ("fine", "found"))

    def test_packets_that_are_lost_are_counted(self):
        self.drop("numgen", "random", "mod", "100", "<", "30")
        [finding] = found(self.doctor(), "loss")
        self.assertRegex(finding["text"], r"^\d+ % of 40 packets to dev2 \(10\.78\.0\.2\) and back")
        self.assertIn("10.78.0.2", finding["command"])
        self.assertEqual(finding["severity"], "warning")

    def test_a_device_that_answers_no_pings_is_not_called_lossy(self):
        self.drop()
        report = self.doctor()
        self.assertEqual(report["checks"]["loss"], "absent")
        self.assertEqual(report["checks"]["daemon"], "fine")

    def test_who_may_not_ping_has_the_daemons_round_trip(self):
        self.at("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        self.addCleanup(self.at, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        report = self.doctor()
        self.assertEqual(report["checks"]["loss"], "absent")
        self.assertNotEqual(report["checks"]["round-trip"], "absent")

    def test_a_way_through_a_tunnel_is_told(self):
        one, other = self.net.hosts
        network.ip("-n", one, "link", "add", "wg0", "type", "veth", "peer", "name", "wg0", "netns",
                   other)
        self.addCleanup(network.ip, "-n", one, "link", "del", "wg0")
        for i, host in enumerate((one, other)):
            network.ip("-n", host, "address", "add", f"10.99.0.{i + 1}/24", "dev", "wg0")
            network.ip("-n", host, "link", "set", "wg0", "up")
        network.ip("-n", one, "route", "add", "10.78.0.2/32", "dev", "wg0", "src", "10.99.0.1")
        [finding] = found(self.doctor(), "routes")
        self.assertIn("dev2 (10.78.0.2) is reached by wg0", finding["text"])


class AloneTest(unittest.TestCase):
    """What needs no second device, and mostly no daemon."""

    def setUp(self):
        self.devices = cluster.Cluster(1)
        self.addCleanup(self.devices.close)
        self.device = self.devices.devices[0]

    def doctor(self, *arguments, prefix=()):
        return examine(prefix, "--socket", self.device.socket, "--config", self.settings(),
                       *arguments)

    def settings(self, more=""):
        path = self.device.folder / "shoald.toml"
        path.write_text(f'[device]\nstate_dir = "{self.device.folder}/state"\n'
                        f'[cluster]\nkey_file = "{self.devices.key}"\n{more}')
        (self.device.folder / "state").mkdir(exist_ok=True)
        return path

    def test_a_daemon_that_does_not_run_is_an_error_with_a_remedy(self):
        code, report = self.doctor()
        self.assertEqual(code, 1)
        [finding] = found(report, "daemon")
        self.assertEqual(finding["severity"], "error")
        self.assertIn("is not running", finding["text"])
        self.assertTrue(finding["command"])

    def test_whom_the_socket_is_not_for_is_told_the_group(self):
        self.devices.start()
        os.chmod(self.devices.folder, 0o755)
        os.chmod(self.device.folder, 0o755)
        shoal = shutil.copy(cluster.SHOAL, self.devices.folder / "shoal")
        result = subprocess.run([shoal, "--json", "doctor", "--socket", self.device.socket],
                                user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                                text=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        [finding] = found(json.loads(result.stdout), "daemon")
        self.assertIn("you may not use", finding["text"])
        self.assertIn("usermod -aG", finding["command"])

    def test_a_port_that_another_program_has_is_told(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            path = self.settings(f"[http]\nport = {port}\n")
            _, report = examine((), "--socket", self.device.socket, "--config", path)
        [finding] = found(report, "port")
        self.assertIn(f"port {port}", finding["text"])

    def test_a_key_that_others_can_read_is_told_and_mended(self):
        os.chmod(self.devices.key, 0o644)
        self.assertTrue(found(self.doctor()[1], "key")[0]["fixable"])
        self.assertEqual(os.stat(self.devices.key).st_mode & 0o777, 0o644)
        # Of the fixes this one alone: the others are of the machine that tests.
        root = self.devices.folder / "root"
        key = root / str(self.devices.key).lstrip("/")
        key.parent.mkdir(parents=True)
        shutil.copy2(self.devices.key, key)
        settings = self.settings()
        copy = root / str(settings).lstrip("/")
        copy.parent.mkdir(parents=True)
        shutil.copy(settings, copy)
        _, report = self.doctor("--fix", "--root", root)
        self.assertEqual(found(report, "key"), [])
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o640)

    def test_a_daemon_with_another_key_than_the_file_is_told(self):
        self.devices.start()
        os.unlink(self.devices.key)
        subprocess.run([cluster.SHOAL, "key", "new", str(self.devices.key)], check=True,
                       capture_output=True)
        [finding] = found(self.doctor()[1], "key")
        self.assertIn("restart", finding["command"])

    def test_a_full_disk_and_one_that_cannot_be_written_are_told(self):
        state = self.device.folder / "state"
        self.settings()
        for options, words in (("size=50m", "left"), ("size=50m,ro", "cannot be written")):
            mount = ["unshare", "-m", "sh", "-c",
                     f'mount -t tmpfs -o {options} none {state} && exec "$@"', "sh"]
            found_here = found(self.doctor(prefix=mount)[1], "disk")
            self.assertEqual(len(found_here), 1, found_here)
            self.assertIn(words, found_here[0]["text"])
            self.assertEqual(found_here[0]["severity"], "error")

    def test_a_host_without_a_network_is_told(self):
        report = self.doctor(prefix=["unshare", "-n"])[1]
        self.assertEqual(found(report, "interfaces")[0]["severity"], "error")

    def test_settings_that_are_refused_are_told(self):
        path = self.settings("[http]\nport = 123456\n")
        _, report = examine((), "--socket", self.device.socket, "--config", path)
        self.assertIn("http.port", found(report, "settings")[0]["text"])


if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("nft") or not network.can_make_namespaces():
        sys.exit(network.SKIPPED)
    unittest.main()
