"""First contact of real daemons: invitations, joining, leaving, names, and devices that are forgotten."""

import ctypes
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, make_model, present, wait_for  # noqa: E402

PREFIX = "shoal-join1-"
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
SECRET = slice(-19, -3)  # of the bytes of a line: before the checksum


def bytes_of(line):
    bits = 0
    digits = line[len(PREFIX):]
    for digit in digits:
        bits = bits << 5 | DIGITS.index(digit)
    size = len(digits) * 5 // 8
    return bytearray((bits >> (len(digits) * 5 - size * 8)).to_bytes(size, "big"))


def line_of(content):
    """A line with its checksum made anew."""
    content = bytes(content[:-3]) + hashlib.blake2b(bytes(content[:-3]), digest_size=16).digest()[:3]
    digits = (len(content) * 8 + 4) // 5
    bits = int.from_bytes(content, "big") << (digits * 5 - len(content) * 8)
    return PREFIX + "".join(DIGITS[bits >> 5 * i & 31] for i in reversed(range(digits)))


def guess(line):
    """The same with another secret."""
    content = bytes_of(line)
    content[SECRET] = os.urandom(16)
    return line_of(content)


def port_of(line):
    return int.from_bytes(bytes_of(line)[1:3], "little")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Stranger:
    """Holds the inviter's public key, which beacons tell, and speaks CURVE with one of its own."""

    DEALER, SNDMORE = 5, 2
    CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVERKEY, LINGER = 48, 49, 50, 17

    def __init__(self, line):
        self.zmq = ctypes.CDLL("libzmq.so.5")
        for name in ("zmq_ctx_new", "zmq_socket"):
            getattr(self.zmq, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.zmq.zmq_ctx_new())
        self.socket = ctypes.c_void_p(self.zmq.zmq_socket(self.context, self.DEALER))
        public, secret = ctypes.create_string_buffer(41), ctypes.create_string_buffer(41)
        self.zmq.zmq_curve_keypair(public, secret)
        for option, value in ((self.CURVE_PUBLICKEY, public.value),
                              (self.CURVE_SECRETKEY, secret.value),
                              (self.CURVE_SERVERKEY, bytes(bytes_of(line)[-51:-19])),
                              (self.LINGER, bytes(4))):
            assert self.zmq.zmq_setsockopt(self.socket, option, value, len(value)) == 0
        assert self.zmq.zmq_connect(self.socket, b"tcp://127.0.0.1:%d" % port_of(line)) == 0

    def say(self, part, times):
        """One message, of so many parts."""
        for left in reversed(range(times)):
            self.zmq.zmq_send(self.socket, part, len(part), self.SNDMORE if left else 0)

    def close(self):
        self.zmq.zmq_close(self.socket)
        self.zmq.zmq_ctx_term(self.context)


class Alone(Cluster):
    """Devices that were just installed: each made a key of its own."""

    def __init__(self, count, **settings):
        super().__init__(count, **{"cluster.key_file": "", "plan.min_devices": 1, **settings})

    def start(self):
        for device in self.devices:
            device.start()
        for device in self.devices:
            wait_for(f"{device.name} leads itself", lambda: (device.status() or {}).get("root"))
        return self


def invite(device):
    result = device.shoal("invite")
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return result.stdout.strip()


def join(device, line, **options):
    client = device.popen("join", line, **options)
    out, err = client.communicate(timeout=PATIENCE)
    return client.returncode, out, err


def fingerprint(device):
    return device.status()["cluster"]


def known(device):
    """The devices that belong to its cluster, by name."""
    result = device.shoal("--json", "devices")
    return {d["name"]: d for d in json.loads(result.stdout)["devices"]}


class Stream:
    """A long answer, and when its tokens came."""

    def __init__(self, device, model, tokens):
        self.times = []
        self.client = device.popen("--json", "run", "--raw", model, "-n", tokens, "--ignore-eos",
                                   "--temperature", 0, "--", "Once upon a time")
        self.final = None
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.client.stdout:
            event = json.loads(line)
            if event["event"] == "token":
                self.times.append(time.monotonic())
            elif event["event"] != "progress":
                self.final = event

    def end(self):
        self.thread.join(PATIENCE)
        self.client.wait(PATIENCE)
        self.client.stdout.close()
        self.client.stderr.close()
        return self.final


class JoiningTest(unittest.TestCase):
    def test_two_fresh_devices_become_one_cluster_and_answer_together(self):
        with Alone(2, **{"plan.min_devices": 2}) as cluster:
            host, guest = cluster.start().devices
            make_model(host.models / "tiny.gguf", shape="tiny", type="f32")
            self.assertNotEqual(fingerprint(host), fingerprint(guest))
            processes = [d.process.pid for d in cluster.devices]
            line = invite(host)
            # This machine may have several addresses, each some thirty letters.
            self.assertTrue(line.startswith(PREFIX) and " " not in line and len(line) < 300, line)
            code, out, err = join(guest, line)
            self.assertEqual((code, err), (0, ""))
            self.assertIn(fingerprint(host), out)
            self.assertIn("dev1", out)
            cluster.wait_complete(cluster.devices)
            # Without another process, and with the same key for good.
            self.assertEqual([d.process.pid for d in cluster.devices], processes)
            self.assertTrue(all(d.alive() for d in cluster.devices))
            wait_for("the model is announced", lambda: "tiny" in guest.shoal("models").stdout)
            text = guest.run("tiny", "Once", 8)
            state = guest.status()
            self.assertEqual(sorted(d["rank"] for d in state["devices"]), [0, 1])
            self.assertEqual(host.run("tiny", "Once", 8), text)
            for device in cluster.devices:
                self.assertEqual(device.stop(), 0)
                device.start()
            cluster.wait_complete(cluster.devices)

    def test_an_invitation_is_good_for_one_device_and_a_guess_for_none(self):
        with Alone(4) as cluster:
            host, first, second, third = cluster.start().devices
            line = invite(host)
            before = fingerprint(second)
            # Guessed: refused, and from then on whatever it brings.
            code, out, err = join(second, guess(line))
            self.assertEqual((code, out), (1, ""))
            self.assertIn("knows no such invitation", err)
            code, _, err = join(second, line)
            self.assertEqual(code, 1)
            self.assertIn("knows no such invitation", err)
            # From standard input, and in capitals, as a QR code has it.
            client = first.popen("join", stdin=subprocess.PIPE)
            _, err = client.communicate(line.upper() + "\n", timeout=PATIENCE)
            self.assertEqual((client.returncode, err), (0, ""))
            # Used twice.
            code, _, err = join(third, line)
            self.assertEqual(code, 1)
            self.assertIn("was used already", err)
            self.assertEqual(fingerprint(second), before)
            self.assertEqual(fingerprint(first), fingerprint(host))
            for device in (second, third):
                self.assertEqual(len(present(device.status())), 1)
            log = host.log()
            self.assertIn("wrong secret", log)
            self.assertIn("used already", log)
            self.assertNotIn(line[len(PREFIX):], log)

    def test_lines_that_cannot_be_used_say_why(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            line = invite(host)
            before = fingerprint(guest)
            for text, code, why in ((line[:-1], 2, "whole line"), ("shoal1-abc", 2, "shoal-join1-"),
                                    (line[:-1] + ("7" if line[-1] != "7" else "8"), 2, ""),
                                    ("x" * 2000, 2, "")):
                result = guest.shoal("join", text)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(why, result.stderr)
            result = host.shoal("join", line)
            self.assertEqual(result.returncode, 2)
            self.assertIn("own", result.stderr)
            result = guest.popen("join", stdin=subprocess.DEVNULL)
            self.assertEqual(result.wait(PATIENCE), 2)
            result.communicate()
            # The inviter's key is another one's: nobody answers to it.
            content = bytes_of(line)
            content[-51:-19] = os.urandom(32)
            started = time.monotonic()
            code, _, err = join(guest, line_of(content))
            self.assertEqual(code, 1)
            self.assertIn("does not answer", err)
            self.assertLess(time.monotonic() - started, 20)
            # An invitation dies with the daemon that made it, and the old line is told apart.
            host.stop()
            host.start()
            wait_for("it is back", host.status)
            code, _, err = join(guest, line)
            self.assertEqual(code, 1)
            self.assertIn("does not answer", err)
            self.assertEqual(fingerprint(guest), before)

    def test_an_invitation_names_addresses_that_lead_here(self):
        with Alone(2) as cluster:
            host, guest = cluster.devices
            # Every address is none to call.
            host.settings["cluster.bind"] = "0.0.0.0"
            cluster.start()
            told = json.loads(host.shoal("--json", "invite").stdout)
            hosts = [address.rsplit(":", 1)[0] for address in told["addresses"]]
            self.assertTrue(hosts)
            for name in hosts:
                self.assertNotIn(name, ("0.0.0.0", ""))
                socket.inet_pton(socket.AF_INET, name)
            self.assertNotEqual(known(host)["dev1"]["address"], "0.0.0.0")
            self.assertEqual(join(guest, told["invitation"])[0], 0)

    @unittest.skipUnless(has_ipv6(), "there is no IPv6")
    def test_an_invitation_to_an_ipv6_address(self):
        with Alone(2, **{"cluster.bind": "::1"}) as cluster:
            host, guest = cluster.start().devices
            told = json.loads(host.shoal("--json", "invite").stdout)
            self.assertRegex(" ".join(told["addresses"]), r"^\[::1\]:\d+$")
            code, _, err = join(guest, told["invitation"])
            self.assertEqual(code, 0, err)
            self.assertEqual(fingerprint(guest), fingerprint(host))
            host.settings["cluster.bind"] = "fe80::1%lo"
            host.stop()
            host.start()
            self.assertEqual(host.process.wait(PATIENCE), 2)
            self.assertIn("cluster.interfaces", host.log())

    def test_the_door_is_open_no_longer_than_an_invitation(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            line = invite(host)
            port = port_of(line)
            socket.create_connection(("127.0.0.1", port), 5).close()
            self.assertEqual(join(guest, line)[0], 0)
            def closed():
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    return False
                except ConnectionRefusedError:
                    return True
            wait_for("the port is closed", closed)
            self.assertIn("no invitation is open", host.log())

    def test_a_flood_of_connections_keeps_nobody_out(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            line = invite(host)
            before = host.descriptors()
            held = []
            for i in range(300):
                held.append(socket.create_connection(("127.0.0.1", port_of(line)), 5))
                if i % 2:
                    held[-1].sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3")
            self.assertLess(host.descriptors() - before, 20)
            code, _, err = join(guest, line)
            self.assertEqual(code, 0, err)
            for s in held:
                s.close()
            cluster.wait_complete(cluster.devices)

    def test_a_message_of_endless_parts_takes_no_memory(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            line = invite(host)
            before = host.memory("VmHWM")
            stranger = Stranger(line)
            self.addCleanup(stranger.close)
            stranger.say(b"x" * 400, 200_000)
            self.assertEqual(join(guest, line)[0], 0)
            time.sleep(1)
            self.assertLess(host.memory("VmHWM") - before, 8 << 20)
            self.assertNotIn("does not understand", host.log())

    def test_a_key_on_the_boot_partition_makes_boards_one_cluster_at_their_first_start(self):
        with Alone(3) as cluster:
            places = []
            for device in cluster.devices:
                places.append(device.folder / "boot" / "shoal.key")
                places[-1].parent.mkdir()
                device.settings["cluster.boot_keys"] = places[-1]
            first, second, used = cluster.devices
            used.start()
            wait_for("it has a key", used.status)
            own = fingerprint(used)
            used.stop()
            for place in places:
                place.write_bytes(cluster.key.read_bytes())
                place.chmod(0o755)
            cluster.start()
            cluster.wait_complete([first, second])
            self.assertEqual([place.exists() for place in places], [False, False, True])
            self.assertIn("took up the cluster key", first.log())
            # A device that was in use before is not taken over by a card that is put in.
            self.assertEqual(fingerprint(used), own)
            self.assertIn("left alone", used.log())

    def test_who_leaves_is_alone_and_comes_back_by_an_invitation(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            self.assertEqual(join(guest, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            result = guest.shoal("leave")
            self.assertEqual(result.returncode, 0, result.stderr)
            for device in cluster.devices:
                wait_for(f"{device.name} is alone", lambda: len(present(device.status())) == 1)
            self.assertNotEqual(fingerprint(host), fingerprint(guest))
            self.assertIn(fingerprint(guest), result.stdout)
            for device in cluster.devices:
                wait_for(f"{device.name} leads", lambda: device.status()["root"])
            self.assertEqual(join(guest, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)


    def test_who_leaves_in_the_middle_of_an_answer_costs_a_pause(self):
        with Alone(2, **{"plan.min_devices": 2}) as cluster:
            host, guest = cluster.start().devices
            make_model(host.models / "tiny.gguf", shape="tiny", type="f32", context=4096)
            self.assertEqual(join(guest, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            wait_for("the model is announced", lambda: "tiny" in guest.shoal("models").stdout)
            stream = Stream(host, "tiny", 3500)
            wait_for("it is under way", lambda: len(stream.times) > 50)
            self.assertEqual(sorted(d["rank"] for d in host.status()["devices"]), [0, 1])
            self.assertEqual(guest.shoal("leave").returncode, 0)
            at = time.monotonic()
            final = stream.end()
            self.assertEqual((final["event"], final.get("generated_tokens")), ("done", 3500), final)
            self.assertTrue(any(t > at for t in stream.times), "the answer was over too early")
            for device in cluster.devices:
                wait_for("it is alone and well",
                         lambda: (device.status() or {}).get("root") == device.status()["self"])
            # And back, while the next one runs.
            stream = Stream(host, "tiny", 3500)
            wait_for("it is under way", lambda: len(stream.times) > 50)
            self.assertEqual(join(guest, invite(host))[0], 0)
            self.assertEqual(stream.end()["generated_tokens"], 3500)
            cluster.wait_complete(cluster.devices)


class DevicesTest(unittest.TestCase):
    def test_devices_are_listed_there_or_not_and_get_other_names(self):
        with Alone(2) as cluster:
            for device in cluster.devices:
                device.settings["device.name"] = ""
            host, guest = cluster.start().devices
            self.assertEqual(host.shoal("devices", "rename", host.status()["self"], "desk").returncode, 0)
            self.assertEqual(join(guest, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            wait_for("the host knows it", lambda: len(known(host)) == 2)
            other = next(d for d in known(host).values() if not d["self"])
            result = host.shoal("devices", "rename", other["id"][:8], "kitchen")
            self.assertEqual(result.returncode, 0, result.stderr)
            wait_for("it is called so", lambda: "kitchen" in known(host))
            self.assertIn("kitchen", guest.shoal("status").stdout)
            self.assertEqual(set(known(guest)), {"desk", "kitchen"})
            self.assertTrue(known(host)["kitchen"]["online"])
            guest.stop()
            wait_for("it is away", lambda: not known(host)["kitchen"]["online"])
            away = known(host)["kitchen"]
            self.assertLess(abs(away["seen"] - time.time()), 30)
            self.assertIn("last seen", host.shoal("devices", "list").stdout)
            result = host.shoal("devices", "rename", "kitchen", "attic")
            self.assertEqual(result.returncode, 1)
            self.assertIn("not there", result.stderr)
            self.assertEqual(host.shoal("devices", "rename", "nobody", "x").returncode, 4)
            guest.start()
            wait_for("it kept its name", lambda: known(host)["kitchen"]["online"])
            # A name that the settings give is theirs.
            guest.stop()
            guest.settings["device.name"] = "fixed"
            guest.start()
            wait_for("it is there", lambda: known(host).get("fixed", {}).get("online"))
            result = host.shoal("devices", "rename", "fixed", "attic")
            self.assertEqual(result.returncode, 1)
            self.assertIn("device.name", result.stderr)

    def test_a_device_is_forgotten_while_an_answer_goes_on(self):
        with Alone(4, **{"plan.min_devices": 4}) as cluster:
            host, kept, away, out = cluster.start().devices
            make_model(host.models / "tiny.gguf", shape="tiny", type="f32", context=4096)
            for device in (kept, away, out):
                self.assertEqual(join(device, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            for device in cluster.devices:
                wait_for("all know all", lambda: len(known(device)) == 4)
            before = fingerprint(host)
            away.stop()
            cluster.wait_complete([host, kept, out])
            wait_for("the model is announced", lambda: "tiny" in kept.shoal("models").stdout)
            stream = Stream(kept, "tiny", 3500)
            wait_for("it is under way", lambda: len(stream.times) > 50)
            ranks = {d["name"]: d["rank"] for d in host.status()["devices"]}
            self.assertGreaterEqual(ranks["dev4"], 0, ranks)
            line = invite(host)
            result = host.shoal("devices", "forget", "dev4")
            self.assertEqual(result.returncode, 0, result.stderr)
            at = time.monotonic()
            final = stream.end()
            self.assertEqual(final["event"], "done", final)
            self.assertEqual(final["generated_tokens"], 3500)
            self.assertTrue(any(t > at for t in stream.times), "the answer was over too early")
            gap = max(b - a for a, b in zip(stream.times, stream.times[1:]))
            self.assertLess(gap, 5)
            # The others have the new key; the forgotten one has not, and stays out when it returns.
            cluster.wait_complete([host, kept])
            self.assertNotEqual(fingerprint(host), before)
            self.assertEqual(fingerprint(kept), fingerprint(host))
            self.assertEqual(fingerprint(out), before)
            wait_for("it is alone", lambda: len(present(out.status())) == 1)
            # What it was invited by before is over.
            self.assertNotEqual(join(out, line)[0], 0)
            self.assertEqual(fingerprint(out), before)
            out.stop()
            out.start()
            # A device that was off gets the key when it comes back, from those that know it.
            away.start()
            wait_for("it has the new key", lambda: away.status() and
                     fingerprint(away) == fingerprint(host))
            cluster.wait_complete([host, kept, away])
            time.sleep(3)
            self.assertEqual(len(present(out.status())), 1)
            self.assertEqual(fingerprint(out), before)
            cluster.wait_complete([host, kept, away])
            for device in (host, kept, away):
                self.assertNotIn("dev4", known(device))
                self.assertEqual(device.stop(), 0)
                device.start()
            cluster.wait_complete([host, kept, away])
            # A new identity with the old key does not get it in, either.
            out.stop()
            (out.folder / "state" / "device.key").unlink()
            out.start()
            time.sleep(3)
            self.assertEqual(len(present(out.status())), 1)
            cluster.wait_complete([host, kept, away])
            # An invitation does.
            self.assertEqual(join(out, invite(kept))[0], 0)
            cluster.wait_complete(cluster.devices)

    def test_a_key_that_is_put_there_by_hand_begins_anew(self):
        with Alone(2) as cluster:
            host, guest = cluster.start().devices
            self.assertEqual(join(guest, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            wait_for("they know each other", lambda: len(known(host)) == 2)
            host.stop()
            (host.folder / "state" / "cluster.key").write_bytes(cluster.key.read_bytes())
            host.start()
            wait_for("it leads", lambda: (host.status() or {}).get("root"))
            self.assertEqual(set(known(host)), {"dev1"})

    def test_a_forgotten_device_comes_back_by_an_invitation_alone(self):
        with Alone(3) as cluster:
            host, kept, out = cluster.start().devices
            for device in (kept, out):
                self.assertEqual(join(device, invite(host))[0], 0)
            cluster.wait_complete(cluster.devices)
            self.assertEqual(host.shoal("devices", "forget", "dev1").returncode, 2)
            self.assertEqual(host.shoal("devices", "forget", "nobody").returncode, 4)
            self.assertEqual(host.shoal("devices", "forget", "dev3").returncode, 0)
            cluster.wait_complete([host, kept])
            wait_for("it is alone", lambda: len(present(out.status())) == 1)
            self.assertEqual(join(out, invite(kept))[0], 0)
            cluster.wait_complete(cluster.devices)
            self.assertEqual(len(known(host)), 3)


if __name__ == "__main__":
    unittest.main()
