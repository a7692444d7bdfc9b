"""Requests that clients of other servers send, from the file http.json of the folder that
SHOAL_CASES names: each against a daemon, with what is right."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model  # noqa: E402

CONTEXT = 512


def read_cases():
    folder = os.environ.get("SHOAL_CASES")
    path = pathlib.Path(folder or "", "http.json")
    if not folder or not path.is_file():
        return None
    return json.loads(path.read_text())


CASES = read_cases()


@unittest.skipIf(CASES is None, "SHOAL_CASES names no folder with http.json")
class HttpCasesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(1, **{"models.context": CONTEXT,
                                    "http.allowed_origins": "chrome-extension://abc"})
        cls.device = cls.cluster.devices[0]
        model = make_model(cls.cluster.folder / "tiny.gguf", shape="tiny", type="f32")
        shutil.move(model, cls.device.models / "NAME.gguf")
        cls.cluster.start()
        # What is told of the loading would begin a stream, whose errors have no status.
        cls.device.shoal("load", "NAME")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def ask(self, request):
        return self.device.http(request["method"], request["path"], request.get("body"),
                                request.get("headers"))

    def texts(self, answer):
        choices = json.loads(answer)["choices"]
        return [c["text"] for c in sorted(choices, key=lambda c: c["index"])]

    def check(self, case):
        request, right = case["request"], case["right"]
        body = request.get("body", {})
        if body.get("prompt") == "(600 tokens)":
            body["prompt"] = list(range(1, 101)) * 6
        status, _, answer = self.ask(request)
        self.assertEqual(status, right["status"], answer)
        for path in ("error.code", "error.param", "id"):
            if path in right:
                value = json.loads(answer)
                for key in path.split("."):
                    value = value[key]
                self.assertEqual(value, right[path])
        if "choices" in right:
            choices = json.loads(answer)["choices"]
            self.assertEqual([c["index"] for c in choices], list(range(right["choices"])))

    def test_each_case(self):
        for case in CASES:
            with self.subTest(case["id"]):
                self.check(case)

    def test_several_prompts_are_answered_as_each_alone(self):
        shared = {"max_tokens": 5, "temperature": 1, "seed": -3, "ignore_eos": True}
        prompts = ["Once upon a time", "One day"]
        together = self.texts(self.ask({"method": "POST", "path": "/v1/completions",
                                        "body": {"prompt": prompts, "n": 2, **shared}})[2])
        alone = [self.texts(self.ask({"method": "POST", "path": "/v1/completions",
                                      "body": {"prompt": p, **shared}})[2])[0] for p in prompts]
        self.assertEqual([together[0], together[2]], alone)
        self.assertNotEqual(together[0], together[1])

    def test_a_stream_of_several_carries_their_indices_and_the_models_name(self):
        answer = self.ask({"method": "POST", "path": "/v1/completions",
                           "body": {"prompt": ["a", "b", "c"], "n": 3, "max_tokens": 4,
                                    "temperature": 0, "ignore_eos": True, "stream": True,
                                    "stream_options": {"include_usage": True}}})[2]
        events = [e.removeprefix("data: ") for e in answer.split("\n\n") if e.startswith("data: ")]
        self.assertEqual(events.pop(), "[DONE]")
        chunks = [json.loads(e) for e in events]
        self.assertEqual({c["model"] for c in chunks}, {"NAME"})
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], 36)
        ends = [c["choices"][0]["index"] for c in chunks[:-1] if c["choices"][0]["finish_reason"]]
        self.assertEqual(sorted(ends), list(range(9)))

    def test_a_prompt_beyond_the_context_is_told_with_both_numbers(self):
        status, _, answer = self.ask({"method": "POST", "path": "/v1/completions",
                                      "body": {"prompt": [5] * 600, "stream": True}})
        self.assertEqual(status, 400)
        message = json.loads(answer)["error"]["message"]
        self.assertIn("600", message)
        self.assertIn(str(CONTEXT), message)

    def test_a_model_by_its_name(self):
        status, _, answer = self.ask({"method": "GET",
                                      "path": "/v1/models/" + urllib.parse.quote("no/such", "")})
        self.assertEqual(status, 404)
        error = json.loads(answer)["error"]
        self.assertEqual((error["code"], error["param"]), ("model_not_found", "model"))
        self.assertIn("no/such", error["message"])

    def test_a_page_of_another_origin_stays_outside(self):
        request = {"method": "GET", "path": "/v1/models", "headers": {"Origin": "https://evil"}}
        self.assertEqual(self.ask(request)[0], 403)


if __name__ == "__main__":
    unittest.main(verbosity=2)
