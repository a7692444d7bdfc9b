#!/usr/bin/python3
"""Trains the demo model on stories: development only, needs python3-torch.

    train.py --work build-demo [--resume]

Everything is written to the work folder: the corpus, the tokenizer, a
checkpoint every two minutes, and the loss curve.  The same seed gives the
same text, tokenizer, first weights and order of rows, and an interrupted run
resumes where its last checkpoint was.

A row starts with <|bos|> and is filled with whole stories, each between
<|bos|> and <|eos|>, the last one cut.  The first rows are short, and half of
them are a game of names, from which attention learns to copy a name; the long
rows at the end make every position of the context a trained one.
"""

import argparse
import csv
import itertools
import math
import os
import random
import time

import numpy as np
import torch
from torch.nn import functional

import stories
from model import Llama, Shape
from tokenizer import Tokenizer

SEED = 20
VOCAB = 2048
STORIES, HELD_OUT, TOKENIZER_STORIES = 43000, 300, 10000
LAST_STORIES, LAST_STYLE = 8000, {"requests": 0.5, "favourites": True}

# Three cycles of the learning rate, each with its phases:
# (steps, rows, tokens of a row, how many rows are the game of names).
# The first learns the stories, the second distances: up to the full context
# while the rate is high, and once more while it falls to nothing.  The third
# reads the stories of LAST_STYLE, for requests and for greedy text.
CYCLES = [
    [(320, 24, 64, 12), (2200, 6, 256, 0), (160, 1, 2048, 0)],
    [(200, 2, 1024, 0), (250, 1, 2048, 0), (1300, 3, 512, 0), (250, 1, 2048, 0)],
    [(700, 6, 256, 0), (80, 1, 2048, 0)],
]
LENGTHS = [sum(phase[0] for phase in cycle) for cycle in CYCLES]
STEPS = sum(LENGTHS)
HELD_ROWS, HELD_LENGTH, HELD_BATCH = 60, 256, 6

PEAK_RATES, LAST_RATE, WARMUP = [2e-3, 2e-3, 1e-3], 2e-5, 50
WEIGHT_DECAY, BETAS, CLIP = 0.1, (0.9, 0.95), 1.0
EVAL_EVERY, CHECKPOINT_SECONDS = 100, 120


def prepare(work):
    """(tokenizer, training, last and held-out stories), stories as id arrays."""
    vocabulary, data = os.path.join(work, "tokenizer.json"), os.path.join(work, "tokens.npz")
    if not os.path.exists(data):
        texts = list(stories.corpus(SEED, STORIES + HELD_OUT))
        tokenizer = Tokenizer.train(texts[:TOKENIZER_STORIES], VOCAB)
        tokenizer.save(vocabulary)
        texts += stories.corpus(SEED + 1, LAST_STORIES, **LAST_STYLE)
        ids = [[tokenizer.bos, *tokenizer.encode(text), tokenizer.eos] for text in texts]
        np.savez(data, ids=np.concatenate(ids).astype(np.int16), lengths=[len(i) for i in ids])
    loaded = np.load(data)
    split = np.split(loaded["ids"].astype(np.int64), np.cumsum(loaded["lengths"])[:-1])
    held_end = STORIES + HELD_OUT
    return Tokenizer.load(vocabulary), split[:STORIES], split[held_end:], split[STORIES:held_end]


def pack(docs, first, count, length):
    """count rows of length + 1 tokens, and the number of the next story."""
    rows = np.empty((count, length + 1), np.int64)
    for row in rows:
        filled = 0
        while filled <= length:
            doc = docs[first % len(docs)][:length + 1 - filled]
            row[filled:filled + len(doc)] = doc
            filled += len(doc)
            first += 1
    return torch.from_numpy(rows), first


def batch(tokenizer, docs, last_docs, step, first):
    """The rows of a step, and the number of the next story."""
    number = step
    if step >= STEPS - LENGTHS[-1]:
        docs = last_docs
    for steps, count, length, games in itertools.chain(*CYCLES):
        if step < steps:
            break
        step -= steps
    rows, first = pack(docs, first, count - games, length)
    if games:
        r = random.Random(f"{SEED}/game/{number}")
        texts = [[tokenizer.bos, *tokenizer.encode(stories.name_game(r))] for _ in range(games)]
        rows = torch.cat([rows, torch.tensor([ids[:length + 1] for ids in texts])])
    return rows, first


def rate(step):
    """Up in WARMUP steps and down like a cosine, in every cycle."""
    for length, peak in zip(LENGTHS, PEAK_RATES):
        if step < length:
            break
        step -= length
    if step < WARMUP:
        return peak * (step + 1) / WARMUP
    done = (step - WARMUP) / (length - WARMUP)
    return LAST_RATE + (peak - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def loss_of(model, rows):
    # bfloat16 products with float32 weights and sums: twice as fast where the
    # CPU knows the type, and harmless where it does not.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(rows[:, :-1])
    return functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model, rows):
    parts = rows.split(HELD_BATCH)
    return sum(loss_of(model, part).item() for part in parts) / len(parts)


def save(path, state):
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="build-demo", help="folder for everything that is made")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stop-after", type=int, default=STEPS, help="stop at this step, for a trial")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)

    tokenizer, docs, last_docs, held_out = prepare(args.work)
    held_rows, _ = pack(held_out, 0, HELD_ROWS, HELD_LENGTH)
    model = Llama(Shape(vocab=len(tokenizer.tokens)))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": WEIGHT_DECAY},
                                   {"params": norms, "weight_decay": 0.0}], betas=BETAS)
    step, next_doc, tokens, curve, seconds, average = 0, 0, 0, [], 0.0, None
    path = os.path.join(args.work, "checkpoint.pt")
    if args.resume:
        state = torch.load(path)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, next_doc, tokens, curve, seconds, average = (
            state[k] for k in ("step", "next_doc", "tokens", "curve", "seconds", "average"))

    def checkpoint():
        save(path, {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step,
                    "next_doc": next_doc, "tokens": tokens, "curve": curve, "seconds": seconds + time.time() - started,
                    "average": average, "shape": vars(model.shape), "seed": SEED})
        with open(os.path.join(args.work, "loss.csv"), "w", newline="", encoding="ascii") as out:
            csv.writer(out, lineterminator="\n").writerows([("step", "tokens", "train", "held_out"), *curve])

    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(tokenizer.tokens)} tokens, "
          f"from step {step} of {STEPS}", flush=True)
    started = saved = time.time()
    while step < min(STEPS, args.stop_after):
        rows, next_doc = batch(tokenizer, docs, last_docs, step, next_doc)
        tokens += rows[:, 1:].numel()
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        loss = loss_of(model, rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        step += 1
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % EVAL_EVERY == 0 or step == STEPS:
            curve.append((step, tokens, round(average, 4), round(held_out_loss(model, held_rows), 4)))
            print(*curve[-1], f"{seconds + time.time() - started:.0f} s", f"story {next_doc}", flush=True)
        if time.time() - saved > CHECKPOINT_SECONDS:
            checkpoint()
            saved = time.time()
    checkpoint()


if __name__ == "__main__":
    main()
