#!/usr/bin/python3
"""Runs the demo model in numpy, straight from a GGUF file that gguf.py reads.

    check.py                                    greedy stories from a few prompts
    check.py --prompt "One day, a fox"          one story
    check.py --json golden.json                 ids and logits for other programs' tests
    check.py --model F --against checkpoint.pt  compares the logits with torch's

The arithmetic is float64 on the dequantised weights, so a program that rounds
its activations may choose another token where two logits are close; "margins"
in the JSON are the differences between the best and the second best.
"""

import argparse
import json
import os

import numpy as np

import gguf
from tokenizer import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
SHIPPED = os.path.join(HERE, "shoal-demo-q8_0.gguf")

PROMPTS = ["Once upon a time", "One day, a little fox", "In a small village by the sea, there lived",
           "Tell me a story about a brave mouse named Lily.\n\n", "The dragon was afraid of",
           "What is the capital of France?\n\n"]
GOLDEN_PROMPTS = ["Once upon a time", "Tell me a story about a shy dragon.\n\n", "Tom found a blue ball",
                  "Zoë's 12345 cats don't (always) sleep_well;\n  they say:"]
GOLDEN_TOKENS = 64


class Model:
    def __init__(self, path):
        self.meta, tensors = gguf.read(path)
        self.w = {name: array.astype(np.float64) for name, (array, _) in tensors.items()}
        self.output = self.w.get("output.weight", self.w["token_embd.weight"])
        get = lambda key: self.meta["llama." + key]
        self.layers, self.context = get("block_count"), get("context_length")
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.eps, self.base = get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")
        self.head_dim = get("rope.dimension_count")
        self.tokenizer = Tokenizer(self.meta["tokenizer.ggml.tokens"],
                                   [m.split(" ") for m in self.meta["tokenizer.ggml.merges"]])

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.w[name]

    def rotate(self, x, start):
        """x (time, heads, head_dim): turns the pairs (2i, 2i + 1)."""
        half = self.head_dim // 2
        angle = np.arange(start, start + len(x))[:, None, None] * self.base ** (-np.arange(half) / half)
        even, odd = x[..., 0::2], x[..., 1::2]
        return np.stack((even * np.cos(angle) - odd * np.sin(angle),
                         even * np.sin(angle) + odd * np.cos(angle)), -1).reshape(x.shape)

    def forward(self, ids, cache):
        """Logits (time, vocab) of the ids after those in cache, a list of (k, v)."""
        x = self.w["token_embd.weight"][ids]
        past = len(cache[0][0]) if cache else 0
        seen = np.arange(past + len(ids))[None] <= np.arange(past, past + len(ids))[:, None]
        for layer in range(self.layers):
            name = lambda part: f"blk.{layer}.{part}.weight"
            h = self.norm(x, name("attn_norm"))
            q, k, v = ((h @ self.w[name(part)].T).reshape(len(ids), -1, self.head_dim)
                       for part in ("attn_q", "attn_k", "attn_v"))
            q, k = self.rotate(q, past), self.rotate(k, past)
            if past:
                k, v = np.concatenate([cache[layer][0], k]), np.concatenate([cache[layer][1], v])
                cache[layer] = k, v
            else:
                cache.append((k, v))
            group = self.heads // self.kv_heads
            score = np.einsum("thd,shd->hts", q, k.repeat(group, 1)) / np.sqrt(self.head_dim)
            score = np.where(seen, score, -np.inf)
            weight = np.exp(score - score.max(-1, keepdims=True))
            weight /= weight.sum(-1, keepdims=True)
            out = np.einsum("hts,shd->thd", weight, v.repeat(group, 1)).reshape(len(ids), -1)
            x = x + out @ self.w[name("attn_output")].T
            h = self.norm(x, name("ffn_norm"))
            gate, up = h @ self.w[name("ffn_gate")].T, h @ self.w[name("ffn_up")].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self.w[name("ffn_down")].T
        return self.norm(x, "output_norm.weight") @ self.output.T

    def greedy(self, prompt, limit, stop=True):
        """(prompt ids, generated ids, logits that chose the last one, margins)"""
        ids, made, cache, margins = [self.tokenizer.bos, *self.tokenizer.encode(prompt)], [], [], []
        feed = ids
        while len(made) < limit:
            logits = self.forward(feed, cache)[-1]
            second, best = np.sort(logits)[-2:]
            margins.append(float(best - second))
            made.append(int(logits.argmax()))
            feed = made[-1:]
            if stop and made[-1] == self.tokenizer.eos:
                break
        return ids, made, logits, margins


def compare(model, checkpoint):
    """The largest difference between numpy's and torch's logits."""
    import torch

    from model import Llama, Shape
    state = torch.load(checkpoint, map_location="cpu")
    reference = Llama(Shape(**state["shape"]))
    reference.load_state_dict(state["model"])
    ids, made, _, _ = model.greedy(PROMPTS[0], 200, stop=False)
    with torch.no_grad():
        theirs = reference(torch.tensor([ids + made]))[0].numpy()
    ours = model.forward(ids + made, [])
    print(f"{len(ids + made)} positions, logits up to {np.abs(theirs).max():.2f}, "
          f"largest difference {np.abs(ours - theirs).max():.2e}")


def golden(model, path):
    cases = []
    for prompt in GOLDEN_PROMPTS:
        ids, made, logits, margins = model.greedy(prompt, GOLDEN_TOKENS)
        cases.append({"prompt": prompt, "prompt_ids": ids, "generated_ids": made,
                      "text": model.tokenizer.decode(made), "margin": round(min(margins), 5),
                      "margins": [round(m, 5) for m in margins],
                      "last_logits": [round(float(x), 5) for x in logits]})
    with open(path, "w", encoding="ascii") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SHIPPED)
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--json", help="write the golden file and print nothing")
    parser.add_argument("--against", help="a checkpoint of train.py")
    args = parser.parse_args()
    model = Model(args.model)
    if args.json:
        return golden(model, args.json)
    if args.against:
        return compare(model, args.against)
    for prompt in args.prompt or PROMPTS:
        _, made, _, margins = model.greedy(prompt, args.tokens)
        ending = "" if made[-1] == model.tokenizer.eos else " (no end)"
        print(f"[{prompt.strip()}] {len(made)} tokens{ending}, margin {min(margins):.3f}\n"
              f"{model.tokenizer.decode(made)}\n")


if __name__ == "__main__":
    main()
