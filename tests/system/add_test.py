"""`shoal add` and `shoal rm`: files of models put into a device's folder and taken out of it."""

import grp
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import SHOAL, Cluster, make_model, wait_for  # noqa: E402


def models(device):
    return {m["name"]: m for m in json.loads(device.shoal("--json", "models").stdout)["models"]}


class AddTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-add-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        cls.other = make_model(cls.folder / "other.gguf", shape="tiny", type="q8_0", seed=2)
        make_model(cls.folder / "parts.gguf", shape="tiny", type="f32", split=3)
        cls.parts = sorted(cls.folder.glob("parts-*.gguf"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.cluster = self.enterContext(Cluster(1)).start()
        self.device = self.cluster.devices[0]

    def files(self):
        return sorted(f.name for f in self.device.models.iterdir())

    def add(self, *arguments):
        result = self.device.shoal("add", *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_a_file_is_copied_and_what_it_needs_is_said(self):
        out = self.add(self.tiny)
        self.assertRegex(out, r"^tiny is there, [0-9.]+ MiB in \S+models\. "
                              r"With a context of \d+ it takes .* on 1 device, for about "
                              r"\d+(\.\d)? tokens/s\.\n$")
        self.assertEqual(self.files(), ["tiny.gguf"])
        self.assertEqual((self.device.models / "tiny.gguf").read_bytes(), self.tiny.read_bytes())
        self.assertTrue(self.tiny.exists())
        self.device.run("tiny", "The sea", 4)
        self.assertIn("fits_context", json.loads(
            self.device.shoal("--json", "models", "--fits").stdout)["models"][0])
        self.assertRegex(self.device.shoal("models", "--fits").stdout, r"FITS\n.* with \d+\n")
        again = self.device.shoal("add", self.tiny)
        self.assertEqual(again.returncode, 1)
        self.assertIn("is there already", again.stderr)
        result = self.device.shoal("--json", "add", self.other)
        added = json.loads(result.stdout)
        self.assertEqual((added["event"], added["name"], added["fits"]), ("added", "other", True))
        self.assertEqual(added["path"], os.path.realpath(self.device.models / "other.gguf"))

    def test_moved_linked_and_in_parts(self):
        source = self.cluster.folder / "source"
        source.mkdir()
        for part in self.parts:
            shutil.copy(part, source)
        shutil.copy(self.tiny, source / "moved.gguf")
        shutil.copy(self.other, source / "linked.gguf")
        self.add("--move", source / "moved.gguf")
        self.add("--link", source / "linked.gguf")
        self.assertTrue((self.device.models / "linked.gguf").is_symlink())
        self.assertEqual(sorted(f.name for f in source.iterdir()),
                         ["linked.gguf", *(p.name for p in self.parts)])
        os.remove(source / "linked.gguf")
        # A folder, of which a part stands for all.
        self.add("--move", source)
        self.assertEqual(list(source.iterdir()), [])
        self.device.run("parts", "The sea", 4)
        self.assertEqual(self.files(), ["linked.gguf", "moved.gguf",
                                        *(p.name for p in self.parts)])

    def test_what_is_no_model_is_refused_and_leaves_nothing(self):
        junk = self.cluster.folder / "junk"
        junk.mkdir()
        (junk / "text.gguf").write_text("no model")
        whole = self.tiny.read_bytes()
        (junk / "half.gguf").write_bytes(whole[:len(whole) // 2])
        shutil.copy(self.parts[0], junk)
        for name, why in (("text", "does not begin with"), ("half", "reach beyond the file's end"),
                          (self.parts[0].stem, "part 2 of 3 of the model is missing")):
            result = self.device.shoal("add", junk / f"{name}.gguf")
            self.assertEqual(result.returncode, 1)
            self.assertIn(why, result.stderr)
        shutil.copy(self.other, junk / "zgood.gguf")
        result = self.device.shoal("add", junk)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 3)
        self.assertEqual(self.files(), ["zgood.gguf"])
        self.assertEqual(self.device.shoal("add", "/nowhere/x.gguf").returncode, 4)

    def test_what_is_stopped_leaves_nothing(self):
        big = make_model(self.cluster.folder / "big.gguf", shape="small", layers=4, vocab=4000,
                         type="f32")
        before = self.files()
        # The disk holds no more, as the file may not grow.
        limited = subprocess.run(["bash", "-c", 'ulimit -f 1000; trap "" XFSZ; "$@"', "-",
                                  SHOAL, "--socket", str(self.device.socket), "add",
                                  str(big)], capture_output=True, text=True)
        self.assertEqual(limited.returncode, 1)
        self.assertIn("cannot be written: File too large", limited.stderr)
        self.assertEqual(self.files(), before)
        for number in (signal.SIGINT, signal.SIGKILL):
            client = self.device.popen("add", big)
            wait_for("begun", lambda: len(self.files()) > len(before) or client.poll() is not None)
            client.send_signal(number)
            client.communicate()
            if client.returncode == 0:
                os.remove(self.device.models / "big.gguf")
            elif number == signal.SIGINT:
                self.assertEqual(client.returncode, 130)
                self.assertEqual(self.files(), before)
        # What a kill left is removed by the next one.
        self.add(self.tiny)
        self.assertEqual(self.files(), ["tiny.gguf"])

    def test_a_model_is_removed_from_the_folder_and_from_nowhere_else(self):
        elsewhere = self.cluster.folder / "elsewhere"
        elsewhere.mkdir()
        shutil.copy(self.other, elsewhere / "packaged.gguf")
        self.device.stop()
        self.device.settings["models.directories"] = f"{self.device.models},{elsewhere}"
        self.device.start()
        wait_for("up", self.device.status)
        self.add(self.tiny)
        self.add("--link", self.parts[1])
        self.assertEqual(len(self.files()), 4)
        result = self.device.shoal("rm", "packaged")
        self.assertEqual(result.returncode, 1)
        self.assertIn(os.path.realpath(elsewhere / "packaged.gguf"), result.stderr)
        self.assertIn("lies outside of", result.stderr)
        self.assertEqual(self.device.shoal("rm", "unknown").returncode, 4)
        result = self.device.shoal("rm", "parts")
        self.assertEqual((result.returncode, result.stdout), (0, "parts is removed.\n"))
        self.assertTrue(all(part.exists() for part in self.parts))
        self.assertEqual(self.files(), ["tiny.gguf"])
        digits = models(self.device)["tiny"]["hash"][:12]
        result = self.device.shoal("--json", "rm", digits)
        self.assertEqual(json.loads(result.stdout)["name"], "tiny")
        self.assertEqual(set(models(self.device)), {"packaged"})
        # A file that is no model as well.
        (self.device.models / "junk.gguf").write_text("no model")
        wait_for("seen", lambda: "junk" in models(self.device))
        self.assertEqual(self.device.shoal("rm", "junk").returncode, 0)
        self.assertEqual(self.files(), [])

    def test_a_copy_of_what_lies_elsewhere_is_added_and_removed(self):
        elsewhere = self.cluster.folder / "elsewhere"
        elsewhere.mkdir()
        shutil.copy(self.tiny, elsewhere)
        self.device.stop()
        self.device.settings["models.directories"] = f"{self.device.models},{elsewhere}"
        self.device.start()
        wait_for("up", self.device.status)
        self.add(self.tiny)
        self.assertEqual(self.device.shoal("rm", "tiny").stdout, "tiny is removed.\n")
        self.assertEqual(self.files(), [])
        self.assertEqual(models(self.device)["tiny"]["path"],
                         os.path.realpath(elsewhere / "tiny.gguf"))
        self.device.run("tiny", "The sea", 4)

    def test_a_model_that_answers_is_not_removed(self):
        slow = make_model(self.cluster.folder / "slow.gguf", shape="small", layers=4, vocab=4000,
                          type="f32")
        self.add("--move", slow)
        client = self.device.popen("run", "--raw", "slow", "-n", 400, "--", "The sea")
        wait_for("answering", lambda: self.device.status()["running"])
        result = self.device.shoal("rm", "slow")
        self.assertEqual(result.returncode, 5)
        self.assertIn("answers now", result.stderr)
        client.send_signal(signal.SIGINT)
        client.communicate()
        wait_for("idle", lambda: not self.device.status()["running"])
        self.assertEqual(self.device.shoal("rm", "slow").stdout,
                         "slow is removed; it stays in memory until it is unloaded, or another "
                         "needs the room.\n")
        self.assertEqual(self.device.shoal("run", "--raw", "slow", "x").returncode, 4)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
class GroupTest(unittest.TestCase):
    """As packages have it: a daemon of its own user, and people who are in its group."""

    GROUP = grp.getgrgid(60)  # "games": on every Debian, and nobody's
    DAEMON, PERSON, STRANGER = 64001, 64002, 64003

    def test_members_of_the_group_add_what_the_daemon_may_not_read(self):
        gid = self.GROUP.gr_gid
        as_daemon = ("setpriv", f"--reuid={self.DAEMON}", f"--regid={gid}", "--clear-groups")
        as_person = ["setpriv", f"--reuid={self.PERSON}", f"--regid={self.PERSON}",
                     f"--groups={gid}"]
        as_stranger = ["setpriv", f"--reuid={self.STRANGER}", f"--regid={self.STRANGER}",
                       "--clear-groups"]
        with Cluster(1, prefixes=[as_daemon], **{"control.group": self.GROUP.gr_name}) as cluster:
            device = cluster.devices[0]
            cluster.folder.chmod(0o755)
            for path in (cluster.key, device.folder, device.models):
                os.chown(path, self.DAEMON, gid)
            device.folder.chmod(0o755)
            device.models.chmod(0o2775)
            cluster.start()
            home = cluster.folder / "home"
            home.mkdir()
            for name in ("copied", "moved"):
                make_model(home / f"{name}.gguf", shape="tiny", type="q8_0")
                os.chown(home / f"{name}.gguf", self.PERSON, self.PERSON)
                (home / f"{name}.gguf").chmod(0o600)
            os.chown(home, self.PERSON, self.PERSON)
            home.chmod(0o700)

            def shoal(person, *arguments):
                return subprocess.run([*person, SHOAL, "--socket", str(device.socket),
                                       *map(str, arguments)], capture_output=True, text=True)
            for options in (["copied"], ["moved", "--move"]):
                result = shoal(as_person, "add", home / f"{options[0]}.gguf", *options[1:])
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                device.run(options[0], "The sea", 4)
            result = shoal(as_person, "rm", "moved")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            # A link to what the daemon may not read is no copy, and is taken back.
            make_model(home / "linked.gguf", shape="tiny", type="q8_0", seed=3)
            os.chown(home / "linked.gguf", self.PERSON, self.PERSON)
            result = shoal(as_person, "add", "--link", home / "linked.gguf")
            self.assertEqual(result.returncode, 1)
            self.assertIn("the daemon must be able to read the file", result.stderr)
            self.assertEqual([f.name for f in device.models.iterdir()], ["copied.gguf"])
            self.assertEqual(shoal(as_stranger, "rm", "copied").returncode, 3)


if __name__ == "__main__":
    unittest.main()
