#!/usr/bin/env python3
"""Many clients of one server that speaks OpenAI's API: Shoal, llama-server, others.

Each client streams one chat after another for a while. Printed are tokens a second in all, the
time to the first token, and the longest gap between two tokens of a stream, each as median, 90th
percentile and extreme. Prompts differ from client to client and from turn to turn, unless --shared
gives them a common beginning; --intruder sends one long prompt in the middle, whose effect the gaps
show. With --turns each chat goes on for so many, and the first token's time is told of each turn; what
the other side is said to have answered is a text of ours, as random weights write what no tokenizer
would read again. With several --url the servers take turns, and medians are told at the end.

    tests/bench/load.py --url http://localhost:8090 --clients 16 --seconds 30
    tests/bench/load.py --url http://localhost:8090 --url http://localhost:8080 --rounds 3 \\
        --clients 4 --prompt 20,100,500
"""

import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse

WORDS = "river stone light under winter garden sailor bread window mountain letter quiet".split()


def words(count, seed):
    """A text of about so many tokens."""
    return " ".join(WORDS[(seed * 7 + i * (i + seed)) % len(WORDS)] for i in range(count))


class Stream:
    """One chat: when it was sent, and when each token came."""

    def __init__(self, options, url, messages, tokens):
        self.sent = time.monotonic()
        self.turn = (len(messages) + 1) // 2
        self.times = []
        self.tokens = 0
        self.cached = None
        url = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=options.patience)
        body = {"model": options.model, "messages": messages, "max_tokens": tokens,
                "stream": True, "stream_options": {"include_usage": True}}
        headers = {"Content-Type": "application/json"}
        if options.key:
            headers["Authorization"] = f"Bearer {options.key}"
        connection.request("POST", url.path.rstrip("/") + "/v1/chat/completions",
                           json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read(300).decode(errors='replace')}")
        for line in answer:
            if line.startswith(b"data: {"):
                self.take(json.loads(line[6:]))
        connection.close()

    def take(self, event):
        if event.get("usage"):
            details = event["usage"].get("prompt_tokens_details") or {}
            self.cached = details.get("cached_tokens")
            self.tokens = event["usage"].get("completion_tokens", 0)
        for choice in event.get("choices", []):
            delta = choice.get("delta", {})
            if delta.get("content") or delta.get("reasoning_content"):
                self.times.append(time.monotonic())

    def first(self):
        return self.times[0] - self.sent

    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


def spread(name, values, unit="s"):
    if not values:
        return f"{name:24} -"
    values = sorted(values)
    p90 = values[min(len(values) - 1, len(values) * 9 // 10)]
    return (f"{name:24} median {statistics.median(values):8.3f}  p90 {p90:8.3f}  "
            f"longest {values[-1]:8.3f} {unit}")


class Round:
    """All clients at one server, for a while."""

    def __init__(self, options, url, seed):
        self.options, self.url = options, url
        self.done, self.intruded, self.errors, self.lock = [], [], [], threading.Lock()
        began = time.monotonic()
        self.end = began + options.seconds
        threads = [threading.Thread(target=self.client, args=(n, seed))
                   for n in range(options.clients)]
        if options.intruder:
            threads.append(threading.Thread(target=self.intrude, args=(seed,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.took = time.monotonic() - began
        self.streams = [s for s in self.done if s.times]

    def take(self, messages, tokens, to):
        try:
            stream = Stream(self.options, self.url, messages, tokens)
            with self.lock:
                to.append(stream)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            with self.lock:
                self.errors.append(str(error))
            time.sleep(1)

    def client(self, number, seed):
        shared = words(self.options.shared, 3)
        turn, chat = 0, []
        while time.monotonic() < self.end:
            turn += 1
            length = self.options.prompt[(number + turn) % len(self.options.prompt)]
            text = words(length, 100000 * seed + 1000 * number + turn)
            if len(chat) >= 2 * self.options.turns:
                chat = []
            text = f"{'' if chat else shared}\n{seed}.{number}.{turn}: {text}"
            chat.append({"role": "user", "content": text})
            self.take(chat, self.options.tokens, self.done)
            chat = chat + [{"role": "assistant", "content": words(self.options.tokens, turn)}]

    def intrude(self, seed):
        time.sleep(self.options.seconds / 3)
        text = words(self.options.intruder, 99 + seed)
        self.take([{"role": "user", "content": text}], 8, self.intruded)

    def figures(self):
        """What is compared: tokens a second, and seconds."""
        longest = [max(s.gaps()) for s in self.streams if s.gaps()]
        first = [s.first() for s in self.streams]
        return {"tokens/s": sum(s.tokens for s in self.streams) / self.took,
                "first token": statistics.median(first) if first else 0,
                "slowest first token": max(first, default=0),
                "gap": statistics.median([g for s in self.streams for g in s.gaps()] or [0]),
                "longest gap": max(longest, default=0)}

    def tell(self):
        tokens = sum(s.tokens for s in self.streams)
        print(f"{self.options.clients} clients, {len(self.streams)} answers, {tokens} tokens in "
              f"{self.took:.1f} s: {tokens / self.took:.1f} tokens/s")
        print(spread("first token", [s.first() for s in self.streams]))
        print(spread("gaps", [gap for s in self.streams for gap in s.gaps()]))
        print(spread("longest gap of a stream",
                     [max(s.gaps()) for s in self.streams if s.gaps()]))
        if self.intruded and self.intruded[0].times:
            print(f"{'the long prompt':24} first token after {self.intruded[0].first():.3f} s")
        if self.options.turns > 1:
            for turn in sorted({s.turn for s in self.streams}):
                print(spread(f"first token, turn {turn}",
                             [s.first() for s in self.streams if s.turn == turn]))
        cached = [s.cached for s in self.streams if s.cached is not None]
        if cached:
            print(f"{'cached tokens':24} {sum(cached)} of all prompts")
        for error in sorted(set(self.errors)):
            print(f"{self.errors.count(error)} x {error}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", action="append", help="default: http://localhost:8090")
    parser.add_argument("--model", default="", help="empty: the one that is loaded")
    parser.add_argument("--key", default="", help="API key")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=1, help="of each server")
    parser.add_argument("--prompt", type=lambda text: [int(n) for n in text.split(",")],
                        default=[60], help="words of a prompt, or of one after another: 20,100,500")
    parser.add_argument("--shared", type=int, default=0, help="words that all prompts begin with")
    parser.add_argument("--turns", type=int, default=1, help="of a chat")
    parser.add_argument("--tokens", type=int, default=128, help="of an answer, at most")
    parser.add_argument("--intruder", type=int, default=0,
                        help="words of a long prompt that comes in the middle")
    parser.add_argument("--patience", type=float, default=600)
    options = parser.parse_args()

    urls = options.url or ["http://localhost:8090"]
    rounds = {url: [] for url in urls}
    for seed in range(options.rounds):
        for url in urls:
            if len(urls) > 1:
                print(f"-- {url}")
            rounds[url].append(Round(options, url, seed))
            rounds[url][-1].tell()
    if options.rounds * len(urls) == 1:
        return
    print(f"\n{'medians':24}" + "".join(f"{url:>28}" for url in urls))
    figures = {url: [r.figures() for r in rounds[url]] for url in urls}
    for name in figures[urls[0]][0]:
        values = [statistics.median(f[name] for f in figures[url]) for url in urls]
        print(f"{name:24}" + "".join(f"{value:28.3f}" for value in values))


if __name__ == "__main__":
    main()
