#!/usr/bin/python3
"""A byte-level BPE tokenizer: trains it, and encodes and decodes with it.

    tokenizer.py --corpus stories.json --vocab 2048 -o tokenizer.json

The alphabet is GPT-2's (every byte is a printable character) and the text is
first split as Llama 3 does ("llama-bpe" in GGUF).  Token order: the 256 bytes
in GPT-2's order, the merges in the order they were made, the two specials.
"""

import argparse
import collections
import json
import re

BOS, EOS = "<|bos|>", "<|eos|>"

# Llama 3's pattern.  Python's re has no \p{L} and \p{N}: letters are the word
# characters that are neither digits nor underscores, numbers are the digits.
# The two differ only for rare signs such as fractions and Roman numerals.
SPLIT = re.compile(
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+"
    r"|\d{1,3}"
    r"| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+")


def byte_alphabet():
    """byte -> character, printable Latin-1 as itself, the rest from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in printable}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(printable))
    return table


ALPHABET = byte_alphabet()
BYTES = {c: b for b, c in ALPHABET.items()}


def pieces(text):
    """The words of the text, in the byte alphabet."""
    for match in SPLIT.finditer(text):
        yield "".join(ALPHABET[b] for b in match[0].encode())


def join_pair(symbols, pair):
    """The symbols with every occurrence of the pair made one, left to right."""
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def learn_merges(texts, count):
    """Up to count merges, the most frequent pair first; ties by spelling."""
    words = collections.Counter(piece for text in texts for piece in pieces(text))
    split = {word: list(word) for word in words}
    pairs, where = collections.Counter(), collections.defaultdict(set)

    def tally(word, sign):
        for pair in zip(split[word], split[word][1:]):
            pairs[pair] += sign * words[word]
            where[pair].add(word)

    for word in words:
        tally(word, +1)
    merges = []
    while len(merges) < count:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        for word in where.pop(best):
            tally(word, -1)
            split[word] = join_pair(split[word], best)
            tally(word, +1)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, tokens, merges):
        self.tokens = tokens
        self.merges = [tuple(m) for m in merges]
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.bos, self.eos = self.ids[BOS], self.ids[EOS]
        self.cache = {}

    @classmethod
    def train(cls, texts, vocab):
        merges = learn_merges(texts, vocab - 256 - 2)
        return cls([*ALPHABET.values(), *(a + b for a, b in merges), BOS, EOS], merges)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
        return cls(data["tokens"], data["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"tokens": self.tokens, "merges": self.merges}, f, ensure_ascii=False)

    def encode_piece(self, piece):
        if piece not in self.cache:
            symbols = list(piece)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda pair: self.rank.get(pair, len(self.rank)))
                if best not in self.rank:
                    break
                symbols = join_pair(symbols, best)
            self.cache[piece] = [self.ids[s] for s in symbols]
        return self.cache[piece]

    def encode(self, text):
        """The ids of plain text: no bos is added, and specials are not parsed."""
        return [i for piece in pieces(text) for i in self.encode_piece(piece)]

    def decode(self, ids):
        text = "".join(self.tokens[i] for i in ids if i not in (self.bos, self.eos))
        return bytes(BYTES[c] for c in text).decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="one JSON string per line")
    parser.add_argument("--stories", type=int, default=10000, help="how many lines to learn from")
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    with open(args.corpus, encoding="ascii") as f:
        texts = [json.loads(line) for _, line in zip(range(args.stories), f)]
    tokenizer = Tokenizer.train(texts, args.vocab)
    tokenizer.save(args.output)
    used = sum(len(tokenizer.encode(text)) for text in texts)
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts[:1000])
    print(f"{len(tokenizer.tokens)} tokens, {used / len(texts):.1f} per story")


if __name__ == "__main__":
    main()
