#!/usr/bin/env python3
"""Many clients of one server that speaks OpenAI's API: Shoal, llama-server, others.

Each client streams one chat after another for a while. Printed are tokens a second in all, the time to the
first token, and the longest gap between two tokens of a stream, each as median, 90th percentile
and extreme. Prompts differ from client to client and from turn to turn, unless --shared gives them a
common beginning; --intruder sends one long prompt in the middle, whose effect the gaps show.

    tests/bench/load.py --url http://localhost:8090 --clients 16 --seconds 30
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

    def __init__(self, options, prompt, tokens):
        self.sent = time.monotonic()
        self.times = []
        self.cached = None
        url = urllib.parse.urlsplit(options.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=options.patience)
        body = {"model": options.model, "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}
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


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8090")
    parser.add_argument("--model", default="", help="empty: the one that is loaded")
    parser.add_argument("--key", default="", help="API key")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--prompt", type=int, default=60, help="words of a prompt")
    parser.add_argument("--shared", type=int, default=0, help="words that all prompts begin with")
    parser.add_argument("--tokens", type=int, default=128, help="of an answer, at most")
    parser.add_argument("--intruder", type=int, default=0,
                        help="words of a long prompt that comes in the middle")
    parser.add_argument("--patience", type=float, default=600)
    options = parser.parse_args()

    end = time.monotonic() + options.seconds
    done, errors, lock = [], [], threading.Lock()
    shared = words(options.shared, 3)

    def take(prompt, tokens, to):
        try:
            stream = Stream(options, prompt, tokens)
            with lock:
                to.append(stream)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            with lock:
                errors.append(str(error))
            time.sleep(1)

    def client(number):
        turn = 0
        while time.monotonic() < end:
            turn += 1
            text = words(options.prompt, 1000 * number + turn)
            take(f"{shared}\n{number}.{turn}: {text}", options.tokens, done)

    began = time.monotonic()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(options.clients)]
    intruded = []
    if options.intruder:
        def intrude():
            time.sleep(options.seconds / 3)
            take(words(options.intruder, 99), 8, intruded)
        threads.append(threading.Thread(target=intrude))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began

    streams = [s for s in done if s.times]
    tokens = sum(len(s.times) for s in streams)
    gaps = [gap for s in streams for gap in s.gaps()]
    print(f"{options.clients} clients, {len(streams)} answers, {tokens} tokens in {took:.1f} s: "
          f"{tokens / took:.1f} tokens/s")
    print(spread("first token", [s.first() for s in streams]))
    print(spread("gaps", gaps))
    print(spread("longest gap of a stream", [max(s.gaps()) for s in streams if s.gaps()]))
    if intruded and intruded[0].times:
        print(f"{'the long prompt':24} first token after {intruded[0].first():.3f} s")
    cached = [s.cached for s in streams if s.cached is not None]
    if cached:
        print(f"{'cached tokens':24} {sum(cached)} of all prompts")
    for error in sorted(set(errors)):
        print(f"{errors.count(error)} x {error}")


if __name__ == "__main__":
    main()
