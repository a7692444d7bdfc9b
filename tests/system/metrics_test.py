"""/metrics of two devices after real requests: Prometheus' format to the letter, figures that are
true, and names that API.md and the dashboard know as well."""

import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model, wait_for  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
DASHBOARD = ROOT / "packaging" / "grafana" / "shoal.json"
API = ROOT / "daemon" / "http" / "API.md"

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
HELP = re.compile(rf"# HELP ({NAME}) ((?:[^\\\n]|\\[\\n])+)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram)")
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?([eE][-+]?\d+)?|Inf)|NaN")

# What is in dashboards of ours beside functions of PromQL.
OURS = re.compile(r"(?:shoal_|process_|vllm:|llamacpp:)[a-z0-9_]+")


def parse(text):
    """{metric: (type, {(sample's name, labels): value})}. An AssertionError says which line is none
    of the format (exposition_formats.md, version 0.0.4) and why."""
    assert text.endswith("\n"), "the last line has no end"
    metrics, helped, current = {}, None, None
    for line in text[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            helped = match[1]
            assert helped not in metrics, f"twice: {line}"
        elif match := TYPE.fullmatch(line):
            assert match[1] == helped, f"after the help of {helped}: {line}"
            current, helped = match[1], None
            metrics[current] = (match[2], {})
        else:
            match = SAMPLE.fullmatch(line)
            assert match and NUMBER.fullmatch(match[3]), f"no line of the format: {line}"
            assert current and helped is None, f"not announced: {line}"
            kind, samples = metrics[current]
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert match[1] in [current + s for s in suffixes], f"below {current}: {line}"
            labels = re.findall(LABEL, match[2] or "")
            names = [label.split("=")[0] for label in labels]
            assert len(set(names)) == len(names), f"a label twice: {line}"
            key = match[1], frozenset(labels)
            assert key not in samples, f"twice: {line}"
            samples[key] = float(match[3])
    assert helped is None, f"{helped} has no type"
    for metric, (kind, samples) in metrics.items():
        assert kind != "counter" or all(v >= 0 for v in samples.values()), f"{metric} is negative"
        if kind == "histogram":
            check_histogram(metric, samples)
    return metrics


def bound(labels):
    return next(float(label[4:-1]) for label in labels if label.startswith("le="))


def check_histogram(metric, samples):
    """Of each set of labels: buckets that rise to +Inf, which is the count."""
    sets = {}
    for (name, labels), value in samples.items():
        rest = frozenset(label for label in labels if not label.startswith("le="))
        of_one = sets.setdefault(rest, {"_bucket": []})
        if name.endswith("_bucket"):
            of_one["_bucket"].append((bound(labels), value))
        else:
            of_one[name.removeprefix(metric)] = value
    for labels, of_one in sets.items():
        buckets = of_one["_bucket"]
        what = f"{metric} of {sorted(labels)}"
        assert buckets == sorted(buckets), f"{what} does not rise: {buckets}"
        assert buckets[-1] == (float("inf"), of_one["_count"]), f"{what} is not counted: {of_one}"
        counts = [value for _, value in buckets]
        assert counts == sorted(counts), f"{what} falls: {buckets}"
        assert "_sum" in of_one, f"{what} has no sum"


def value(metrics, sample, **labels):
    """The one sample with such labels; nothing when there is none."""
    wanted = {f'{name}="{text}"' for name, text in labels.items()}
    found = [v for _, samples in metrics.values() for (name, has), v in samples.items()
             if name == sample and wanted <= has]
    assert len(found) <= 1, f"{sample} {labels}: {found}"
    return found[0] if found else None


class Format(unittest.TestCase):
    def test_the_parser_refuses_what_prometheus_would(self):
        good = '# HELP a A.\n# TYPE a counter\na{b="c\\"",d="e"} 1\na 2\n'
        self.assertEqual(len(parse(good)["a"][1]), 2)
        head = "# HELP h H.\n# TYPE h histogram\n"
        whole = head + 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
        parse(whole)
        for bad in [
            good[:-1], good + good, good.replace("# HELP a A.\n", ""), good.replace("a 2", "b 2"),
            good.replace("a 2", "a  2"), good.replace("a 2", "a two"), good.replace("a 2", "a -2"),
            good.replace("a 2", 'a{b="c\\"",d="e"} 2'), good.replace('c\\"', 'c"'),
            good.replace("b=", "d="), good.replace("b=", "1b="), good.replace("counter", "count"),
            good.replace("a 2", ""), whole.replace('"+Inf"} 2', '"+Inf"} 3'),
            whole.replace('"1"} 1', '"1"} 3'), whole.replace("h_sum 3\n", ""),
            whole.replace('h_bucket{le="+Inf"} 2\n', ""), whole.replace("h_count", "h"),
        ]:
            with self.assertRaises(AssertionError, msg=bad):
                parse(bad)


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-metrics-"))
        make_model(cls.folder / "tiny.gguf", shape="tiny", type="f32")
        # Of one root alone, however busy the machine is.
        cls.cluster = Cluster(2, **{"cluster.suspect_ms": 5000, "cluster.dead_ms": 20000})
        for device in cls.cluster.devices:
            shutil.copy(cls.folder / "tiny.gguf", device.models)
        cls.cluster.start()
        cls.root = cls.cluster.root()
        cls.other = next(d for d in cls.cluster.devices if d is not cls.root)
        # What some things add up to is compared with what was before.
        cls.before = {d.name: cls.read(d) for d in cls.cluster.devices}
        # What computes comes last: a plan that is made anew begins to count its links anew.
        cls.ask(cls.root, model="absent")
        cls.ask(cls.root, prompt="word " * 5000)
        for _ in range(3):
            cls.ask(cls.other, max_tokens=8)
        cls.ask(cls.root, max_tokens=5)
        cls.after = {d.name: cls.read(d) for d in cls.cluster.devices}

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()
        shutil.rmtree(cls.folder)

    @staticmethod
    def read(device):
        status, headers, text = device.http("GET", "/metrics")
        assert status == 200, text
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
        return parse(text)

    @staticmethod
    def ask(device, **fields):
        device.http("POST", "/v1/completions", {
            "model": "tiny", "prompt": "The sea", "temperature": 0, "ignore_eos": True, **fields})

    def of(self, device, sample, **labels):
        return value(self.after[device.name], sample, **labels)

    def test_each_device_counts_the_requests_of_its_own_clients(self):
        for device, tokens, count in ((self.other, 8, 3), (self.root, 5, 1)):
            self.assertEqual(self.of(device, "shoal_requests_total", outcome="length"), count)
            self.assertEqual(self.of(device, "vllm:request_success_total",
                                     finished_reason="length", model_name="tiny"), count)
            self.assertEqual(self.of(device, "shoal_requests_active"), 0)
            for name, n in (("vllm:time_to_first_token_seconds", count),
                            ("vllm:inter_token_latency_seconds", count * (tokens - 1)),
                            ("vllm:e2e_request_latency_seconds", count),
                            ("vllm:request_queue_time_seconds", count),
                            ("vllm:request_prefill_time_seconds", count),
                            ("vllm:request_prompt_tokens", count),
                            ("vllm:request_generation_tokens", count)):
                self.assertEqual(self.of(device, name + "_count", model_name="tiny"), n, name)
            self.assertEqual(self.of(device, "vllm:request_generation_tokens_sum"), count * tokens)
            whole, first, between = (self.of(device, name + "_sum") for name in (
                "vllm:e2e_request_latency_seconds", "vllm:time_to_first_token_seconds",
                "vllm:inter_token_latency_seconds"))
            self.assertGreater(first, 0)
            self.assertGreaterEqual(whole, first + between)
        for outcome, device in (("not_found", self.root), ("context_length", self.root)):
            self.assertEqual(self.of(device, "shoal_requests_total", outcome=outcome), 1)
        self.assertEqual(self.of(self.other, "shoal_requests_total", outcome="not_found"), 0)

    def test_both_tell_what_the_root_counts(self):
        for device in (self.root, self.other):
            self.assertEqual(self.of(device, "vllm:generation_tokens_total"), 3 * 8 + 5)
            self.assertEqual(self.of(device, "vllm:num_requests_running"), 0)
            self.assertEqual(self.of(device, "vllm:kv_cache_usage_perc"), 0)
            began, found = (self.of(device, "vllm:" + name) for name in (
                "prefix_cache_queries_total", "prefix_cache_hits_total"))
            self.assertEqual(self.of(device, "llamacpp:prompt_tokens_total"), began - found)

    def test_steps_links_and_plans_are_counted(self):
        for device, other in ((self.root, self.other), (self.other, self.root)):
            self.assertGreaterEqual(self.of(device, "shoal_steps_total"), 4 * 4)
            self.assertGreater(self.of(device, "shoal_collectives_total"),
                               self.of(device, "shoal_steps_total"))
            self.assertGreater(self.of(device, "shoal_collective_seconds_total"), 0)
            sent = self.of(device, "shoal_peer_sent_bytes_total", name=other.name)
            self.assertGreater(sent, 1000)
            # Frames are counted as they are sent; one may be on its way.
            self.assertGreaterEqual(sent, 0.9 * self.of(
                other, "shoal_peer_received_bytes_total", name=device.name))
            self.assertGreater(self.of(device, "shoal_peer_round_trip_seconds", name=other.name), 0)
            self.assertGreater(self.of(device, "shoal_peer_wait_seconds", name=other.name,
                                       quantile="0.99"), 0)
            self.assertIsNotNone(self.of(device, "shoal_peer_resent_total", name=other.name))
            self.assertIsNone(self.of(device, "shoal_peer_sent_bytes_total", name=device.name))
        self.assertEqual(self.of(self.root, "shoal_plans_total", cause="first"), 1)
        self.assertEqual(self.of(self.other, "shoal_plans_total", cause="first"), 0)
        self.assertGreater(self.of(self.root, "shoal_plan_loading_seconds"), 0)

    def test_the_process_is_what_the_system_says(self):
        for device in (self.root, self.other):
            now = self.read(device)
            self.assertLess(abs(value(now, "process_resident_memory_bytes") - device.memory()),
                            16 << 20)
            # One more for the connection that asks.
            wait_for("its descriptors are counted", lambda: value(
                self.read(device), "process_open_fds") == device.descriptors() + 1)
            self.assertGreater(value(now, "process_cpu_seconds_total"), 0)
            self.assertGreater(value(now, "shoal_control_loop_delay_seconds_count"), 10)

    def test_counters_only_rise(self):
        later = self.read(self.other)
        for device, before, after in ((self.other, self.before, self.after),
                                      (self.root, self.before, self.after),
                                      (self.other, self.after, {self.other.name: later})):
            for metric, (kind, samples) in before[device.name].items():
                if kind == "gauge":
                    continue
                for key, old in samples.items():
                    if 'model_name=""' in key[1]:
                        continue  # By now a model is loaded.
                    self.assertGreaterEqual(after[device.name][metric][1].get(key, -1), old, key)

    def test_the_dashboard_asks_for_what_there_is(self):
        there = {name for _, samples in self.after[self.root.name].values() for name, _ in samples}
        board = json.loads(DASHBOARD.read_text())
        asked = set()
        for panel in board["panels"]:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
            for target in panel["targets"]:
                names = set(OURS.findall(target["expr"]))
                self.assertTrue(names, target["expr"])
                asked |= names
        for variable in board["templating"]["list"]:
            asked |= set(OURS.findall(str(variable["query"])))
        self.assertEqual(asked - there, set())
        self.assertGreater(len(asked), 25)
        self.assertLess(DASHBOARD.stat().st_size, 20_000)
        # Panels lie beside each other.
        places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]}
        self.assertEqual(len(places), len(board["panels"]))

    def test_the_manual_lists_all_and_nothing_else(self):
        section = API.read_text().split("## GET /metrics")[1].split("\n## ")[0]
        table = [line for line in section.splitlines() if line.startswith("| `")]
        listed = {name for line in table for name in OURS.findall(line.split(" | ")[0])}
        self.assertEqual(listed, set(self.after[self.root.name]))


if __name__ == "__main__":
    unittest.main()
