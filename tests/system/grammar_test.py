"""Answers that a grammar holds are drawn from the model's distribution over what it allows, on one
device and on three."""

import json
import math
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model  # noqa: E402

LETTERS = "abcdefghijkl"
ANSWERS_AT_ONCE = 64
REQUESTS = 24


def chi_square_bound(degrees):
    """What chi-square exceeds once in some 30,000 times: Wilson, Hilferty, PNAS 17, 1931."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + 4 * math.sqrt(spread)) ** 3


class GrammarTest(unittest.TestCase):
    def complete(self, device, **body):
        status, _, answer = device.http("POST", "/v1/completions", {"model": "tiny", **body})
        self.assertEqual(status, 200, answer)
        return sorted(json.loads(answer)["choices"], key=lambda choice: choice["index"])

    def tokens_of(self, device, text):
        status, _, answer = device.http("POST", "/tokenize", {"content": text})
        self.assertEqual(status, 200, answer)
        return json.loads(answer)["tokens"]

    def expected(self, device, prompt):
        """The letters' probabilities of all that the grammar allows."""
        prompts = [prompt + self.tokens_of(device, letter) for letter in LETTERS]
        self.assertEqual({len(ids) for ids in prompts}, {len(prompt) + 1})
        choices = self.complete(device, prompt=prompts, max_tokens=0, echo=True, logprobs=1)
        weights = [math.exp(choice["logprobs"]["token_logprobs"][-1]) for choice in choices]
        return [weight / sum(weights) for weight in weights]

    def check(self, count):
        with Cluster(count) as cluster:
            device = cluster.devices[0]
            make_model(device.models / "tiny.gguf", shape="tiny", type="f32")
            cluster.start()
            prompt = self.tokens_of(device, "once upon a time")
            expected = self.expected(device, prompt)
            counts = dict.fromkeys(LETTERS, 0)
            for seed in range(REQUESTS):
                for choice in self.complete(device, prompt=prompt, max_tokens=4, temperature=1,
                                            top_p=1, n=ANSWERS_AT_ONCE, seed=1000 * seed + 1,
                                            grammar=f"root ::= [{LETTERS[0]}-{LETTERS[-1]}]"):
                    self.assertIn(choice["text"], counts)
                    self.assertEqual(choice["finish_reason"], "stop")
                    counts[choice["text"]] += 1
            draws = REQUESTS * ANSWERS_AT_ONCE
            chi_square = sum((counts[letter] - draws * p) ** 2 / (draws * p)
                             for letter, p in zip(LETTERS, expected))
            print(f"{count} devices: chi-square {chi_square:.1f} of {draws} answers")
            self.assertLess(chi_square, chi_square_bound(len(LETTERS) - 1))

    def test_one_device(self):
        self.check(1)

    def test_three_devices(self):
        self.check(3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
