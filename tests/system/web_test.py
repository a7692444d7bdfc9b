"""`shoal add ADDRESS`: models from a web server, whatever becomes of the connection."""

import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402


class Server(http.server.ThreadingHTTPServer):
    """Files by path, with ranges; `cut` ends each response after so many bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.redirects, self.statuses = {}, {}, {}
        self.cut, self.pause, self.ranges, self.linked_sha256 = None, 0, True, None
        self.last_bytes = threading.Event()  # of a body are sent when it is set
        self.last_bytes.set()
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *unused):
        """Clients that go in the middle are what the tests are about."""

    def address(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            if server.linked_sha256:
                self.send_header("X-Linked-Etag", f'"{server.linked_sha256}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = server.statuses.get(self.path, 200 if self.path in server.files else 404)
        content = server.files.get(self.path, b"")
        etag = '"' + hashlib.md5(content).hexdigest() + '"'
        first = 0
        wanted = self.headers.get("Range", "")
        if status == 200 and server.ranges and wanted and self.headers.get("If-Range") == etag:
            first = int(wanted.removeprefix("bytes=").split("-")[0])
            status = 206 if first < len(content) else 416
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(content)}")
        body = content[first:] if status in (200, 206) else b""
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        for at in range(0, len(body), 1 << 16):
            part = body[at:at + (1 << 16)]
            if server.cut is not None and at + len(part) > server.cut:
                self.wfile.write(part[:server.cut - at])
                return
            if at + len(part) == len(body):
                server.last_bytes.wait(60)
            self.wfile.write(part)
            time.sleep(server.pause)


class WebTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-web-"))
        cls.tiny = make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        cls.content = cls.tiny.read_bytes()
        make_model(cls.folder / "parts.gguf", shape="tiny", type="f32", split=3)
        cls.parts = sorted(cls.folder.glob("parts-*.gguf"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.cluster = self.enterContext(Cluster(1)).start()
        self.device = self.cluster.devices[0]
        self.server = Server()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.server.files["/owner/repo/resolve/main/tiny.gguf"] = self.content
        self.address = self.server.address("/owner/repo/resolve/main/tiny.gguf")

    def files(self):
        return sorted(f.name for f in self.device.models.iterdir())

    def refused(self, *arguments):
        result = self.device.shoal("add", *arguments)
        self.assertNotEqual(result.returncode, 0)
        return result.stderr

    def check_whole(self):
        self.assertEqual(self.files(), ["tiny.gguf"])
        self.assertEqual((self.device.models / "tiny.gguf").read_bytes(), self.content)
        self.device.run("tiny", "The sea", 4)

    def test_a_file_by_its_address_or_that_of_its_page(self):
        page = self.server.address("/owner/repo/blob/main/tiny.gguf?download=true#top")
        self.server.files["/owner/repo/resolve/main/tiny.gguf?download=true"] = self.content
        result = self.device.shoal("add", page)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("tiny is there", result.stdout)
        self.check_whole()
        self.assertIn("is there already", self.refused(self.address))

    def test_a_connection_that_is_cut_again_and_again_is_made_again(self):
        self.server.cut = len(self.content) // 5
        result = self.device.shoal("add", self.address)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.check_whole()
        self.assertGreaterEqual(len(self.server.requests), 5)
        self.assertIn("Range", self.server.requests[-1][1])

    def test_without_ranges_it_begins_anew_and_does_not_mix(self):
        self.server.ranges, self.server.cut = False, len(self.content) // 2
        client = self.device.popen("add", self.address)
        wait_for("tried twice", lambda: len(self.server.requests) >= 2)
        self.server.cut = None
        client.communicate()
        self.assertEqual(client.returncode, 0)
        self.check_whole()

    def test_a_download_that_was_killed_goes_on_and_one_of_another_file_begins_anew(self):
        self.server.pause = 0.1
        for number in (signal.SIGINT, signal.SIGKILL):
            client = self.device.popen("add", self.address)
            wait_for("begun", lambda: any(
                f.startswith(".shoal-get-") and (self.device.models / f).stat().st_size > 1 << 17
                for f in self.files()))
            client.send_signal(number)
            client.communicate()
        self.assertEqual([f for f in self.files() if f.endswith(".gguf")], [])
        self.server.pause = 0
        requests = len(self.server.requests)
        self.assertEqual(self.device.shoal("add", self.address).returncode, 0)
        self.assertIn("Range", self.server.requests[requests][1])
        self.check_whole()
        self.assertEqual(self.device.shoal("rm", "tiny").returncode, 0)

        self.server.cut = len(self.content) // 2
        client = self.device.popen("add", self.address)
        wait_for("begun", lambda: len(self.server.requests) > requests + 1)
        client.kill()
        client.communicate()
        self.server.cut = None
        other = make_model(self.cluster.folder / "other.gguf", shape="tiny", type="f32", seed=9)
        self.server.files["/owner/repo/resolve/main/tiny.gguf"] = other.read_bytes()
        self.assertEqual(self.device.shoal("add", self.address).returncode, 0)
        self.assertEqual((self.device.models / "tiny.gguf").read_bytes(), other.read_bytes())

    def test_what_has_come_stays_when_the_daemon_fails_behind_it(self):
        self.server.last_bytes.clear()
        client = self.device.popen("add", self.address)
        wait_for("under way", lambda: self.server.requests)
        self.device.kill()
        self.server.last_bytes.set()
        _, err = client.communicate(timeout=60)
        self.assertNotEqual(client.returncode, 0)
        self.assertIn("daemon", err)
        self.assertEqual(self.files(), ["tiny.gguf"])
        self.device.start()
        wait_for("back", self.device.status)
        self.check_whole()
        self.assertEqual(len(self.server.requests), 1)

    def test_a_hash_is_checked_that_is_given_or_told(self):
        digest = hashlib.sha256(self.content).hexdigest()
        wrong = "0" * 64
        self.assertIn("64 hexadecimal", self.refused(self.address, "--sha256", "12"))
        self.assertIn(f"is {digest} and should be {wrong}",
                      self.refused(self.address, "--sha256", wrong))
        self.assertEqual([f for f in self.files() if f.endswith(".gguf")], [])
        self.assertEqual(self.device.shoal("add", self.address, "--sha256",
                                           digest.upper()).returncode, 0)
        self.device.shoal("rm", "tiny")
        self.server.redirects["/hub/tiny.gguf"] = self.address
        self.server.linked_sha256 = wrong
        self.assertIn("should be", self.refused(self.server.address("/hub/tiny.gguf")))
        self.server.linked_sha256 = digest
        self.assertEqual(
            self.device.shoal("add", self.server.address("/hub/tiny.gguf")).returncode, 0)

    def test_all_parts_of_a_split_model_come(self):
        for part in self.parts:
            self.server.files[f"/m/{part.name}"] = part.read_bytes()
        result = self.device.shoal("--json", "add", self.server.address(f"/m/{self.parts[1].name}"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout.splitlines()[-1])["name"], "parts")
        self.assertEqual(self.files(), [p.name for p in self.parts])
        self.device.run("parts", "The sea", 4)

    def test_what_is_no_model_is_refused_and_nothing_stays(self):
        self.server.files["/page.gguf"] = b"<html>Log in</html>"
        self.server.files["/junk.gguf"] = b"GGUF" + bytes(1000)
        self.server.statuses["/gated.gguf"] = 401
        self.server.redirects["/loop.gguf"] = "/loop.gguf"
        for path, why in (("/page.gguf", "no GGUF file, but perhaps a page"),
                          ("/junk.gguf", "version"), ("/gated.gguf", "HTTP 401"),
                          ("/none.gguf", "there is no such file"),
                          ("/loop.gguf", "redirects"), ("/text.txt", "ends with .gguf"),
                          ("/.gguf", "ends with .gguf")):
            with self.subTest(path):
                self.assertIn(why, self.refused(self.server.address(path)))
                self.assertEqual([f for f in self.files() if f.endswith(".gguf")], [])


if __name__ == "__main__":
    unittest.main()
