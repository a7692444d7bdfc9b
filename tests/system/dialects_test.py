"""Answers beside those of llama.cpp's server (of May 2026) and Ollama (of August 2026) to the same
requests, field by field: fields, their kinds, and where Shoal differs, with the reasons."""

import datetime
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster, make_model  # noqa: E402

TEMPLATE = pathlib.Path(__file__).parents[1] / "clients" / "tools.jinja"

# Kinds. Programs in Go and Rust read no 1.0 where an integer stands, hence INT beside NUM.


def STR(v): return isinstance(v, str)
def BOOL(v): return isinstance(v, bool)
def INT(v): return type(v) is int
def POSITIVE(v): return type(v) is int and v > 0
def NUM(v): return type(v) in (int, float)
def NULL(v): return v is None
def ANY(v): return True
def OR_NULL(kind): return lambda v: v is None or kind(v)


def TIME(v):
    try:
        return datetime.datetime.fromisoformat(v.replace("Z", "+00:00")).tzinfo is not None
    except (AttributeError, ValueError):
        return False


def compare(shape, value, path=""):
    """How a value differs from a shape: "-a.b" lacks, "+a.b" only the value has, "~a.b" is of
    another kind. A shape is a kind, a list of one shape, or an object; a name with "?" may be
    missing, and of "*" every other name may be there."""
    if callable(shape):
        return set() if shape(value) else {"~" + path}
    if isinstance(shape, list):
        if not isinstance(value, list):
            return {"~" + path}
        return set().union(*(compare(shape[0], v, path + "[]") for v in value))
    if not isinstance(value, dict):
        return {"~" + path}
    found = set()
    inside = path + "." if path else ""
    fields = {name.removesuffix("?"): inner for name, inner in shape.items()}
    for name, inner in fields.items():
        if name in value:
            found |= compare(inner, value[name], inside + name)
        elif name != "*" and name + "?" not in shape:
            found.add("-" + inside + name)
    if "*" not in fields:
        found |= {"+" + inside + name for name in value if name not in fields}
    return found


def marked(mark, path, names):
    return " ".join(f"{mark}{path}.{name}" for name in names.split())


def lacks(path, names):
    return marked("-", path, names)


# What is sent for the conversation, the prompt, and to have few tokens.
MESSAGES = [{"role": "user", "content": "Hello"}]
GREEDY = {"temperature": 0}
CHAT = {"messages": MESSAGES, "max_tokens": 4, **GREEDY}
COMPLETION = {"prompt": "Hello", "n_predict": 4, **GREEDY}
OLLAMA = {"model": "tiny", "options": {"num_predict": 4, **GREEDY}}
TOO_LONG = [5] * 3000
ROOM = {"type": "object", "properties": {"room": {"enum": ["hall"]}}, "required": ["room"]}
LAMP = {"type": "function", "function": {"name": "lamp", "description": "Lights.",
                                         "parameters": ROOM}}

# Reasons that several fields have.
NO_SUCH_SAMPLER = "a sampler or an option that Shoal does not have"
OPENAI_HAS_IT = "a field of OpenAI's own API, which llama-server leaves out"
SHOALS_TIMES = "Shoal's own times, beside llama-server's"
FROM_SHOW = "files are not opened for the list; /api/show tells of one"

# ---- llama.cpp's server

TIMINGS = {"cache_n": INT,
           "prompt_n": INT, "prompt_ms": NUM, "prompt_per_token_ms": NUM, "prompt_per_second": NUM,
           "predicted_n": INT, "predicted_ms": NUM, "predicted_per_token_ms": NUM,
           "predicted_per_second": NUM}
PARAMS = {
    "seed": INT, "temperature": NUM, "dynatemp_range": NUM, "dynatemp_exponent": NUM, "top_k": INT,
    "top_p": NUM, "min_p": NUM, "top_n_sigma": NUM, "xtc_probability": NUM, "xtc_threshold": NUM,
    "typical_p": NUM, "repeat_last_n": INT, "repeat_penalty": NUM, "presence_penalty": NUM,
    "frequency_penalty": NUM, "dry_multiplier": NUM, "dry_base": NUM, "dry_allowed_length": INT,
    "dry_penalty_last_n": INT, "mirostat": INT, "mirostat_tau": NUM, "mirostat_eta": NUM,
    "max_tokens": INT, "n_predict": INT, "n_keep": INT, "n_discard": INT, "ignore_eos": BOOL,
    "stream": BOOL, "n_probs": INT, "min_keep": INT, "chat_format": STR, "reasoning_format": STR,
    "reasoning_in_content": BOOL, "generation_prompt": STR, "samplers": [STR],
    "speculative.type": STR, "timings_per_token": BOOL, "post_sampling_probs": BOOL,
    "backend_sampling": BOOL, "lora": [{"id": INT, "scale": NUM}]}
SETTINGS = {**PARAMS, "dry_sequence_breakers": [STR], "stop": [STR],
            "logit_bias": [{"bias": NUM, "token": INT}], "grammar": STR, "grammar_lazy": BOOL,
            "grammar_triggers": [ANY], "preserved_tokens": [INT]}
PART = {"index": INT, "content": STR, "tokens": [INT], "stop": BOOL, "id_slot": INT,
        "tokens_predicted": POSITIVE, "tokens_evaluated": POSITIVE}
LAST = {**PART, "model": STR, "generation_settings": SETTINGS, "prompt": STR, "has_new_line": BOOL,
        "truncated": BOOL, "stop_type": STR, "stopping_word": STR, "tokens_cached": INT,
        "timings": TIMINGS}
OTHER_SAMPLERS = """
    dynatemp_range dynatemp_exponent top_n_sigma xtc_probability xtc_threshold typical_p
    dry_multiplier dry_base dry_allowed_length dry_penalty_last_n mirostat
    mirostat_tau mirostat_eta n_keep n_discard n_probs min_keep samplers speculative.type
    post_sampling_probs backend_sampling lora timings_per_token"""
PARSER = "chat_format reasoning_format reasoning_in_content generation_prompt"
LAST_DIFFERENCES = {
    NO_SUCH_SAMPLER: lacks("generation_settings", OTHER_SAMPLERS + " dry_sequence_breakers"),
    "inner affairs of llama-server's parser of chats": lacks(
        "generation_settings", PARSER + " grammar_lazy grammar_triggers preserved_tokens"),
    "known to the client, which sent it": lacks("generation_settings", "grammar logit_bias")
    + " -prompt",
    "n_predict has it": "-generation_settings.max_tokens",
    "the text shows it": "-has_new_line",
}

CHOICE = {"index": INT, "message": {"role": STR, "content": STR}, "finish_reason": STR}
CALL = {"type": STR, "id": STR, "function": {"name": STR, "arguments": STR}}
USAGE = {"completion_tokens": INT, "prompt_tokens": INT, "total_tokens": INT,
         "prompt_tokens_details": {"cached_tokens": INT}}
HEAD = {"id": STR, "object": STR, "created": POSITIVE, "model": STR, "system_fingerprint": STR}
SCORE = {"id": INT, "token": STR, "bytes": [INT], "logprob": NUM}
SHOALS_TIMINGS = marked("+", "timings",
                        "load_seconds queue_seconds prefill_seconds decode_seconds devices")
CHAT_DIFFERENCES = {
    SHOALS_TIMES: SHOALS_TIMINGS,
    OPENAI_HAS_IT: "+choices[].message.refusal +choices[].logprobs"
                   " +usage.completion_tokens_details",
}
DELTA = {"role?": STR, "content?": OR_NULL(STR), "reasoning_content?": STR,
         "tool_calls?": [{"index": INT, "id?": STR, "type?": STR,
                          "function?": {"name?": STR, "arguments?": STR}}]}
CHUNK = {**HEAD, "choices": [{"index": INT, "delta": DELTA, "finish_reason": OR_NULL(STR)}]}
LLAMA_ERROR = {"error": {"code": INT, "message": STR, "type": STR}}
ERROR_DIFFERENCES = {"OpenAI's code is a word; the number is the status": "~error.code",
                     "names the field that is wrong, as OpenAI does": "+error.param"}

# What is asked (method, path, body), the status, what of a stream is meant, the shape of the
# reference's answer, and {reason: differences}.
LLAMA_SERVER = [
    ("POST", "/completion", COMPLETION, 200, "whole", LAST, LAST_DIFFERENCES),
    ("POST", "/completion", {**COMPLETION, "stream": True}, 200, "parts", PART,
     {"the root counts the prompt, and tells it at the end": "~tokens_evaluated"}),
    ("POST", "/completion", {**COMPLETION, "stream": True}, 200, "last", LAST, LAST_DIFFERENCES),
    ("POST", "/completion", {**COMPLETION, "stream": True, "timings_per_token": True}, 200, "parts",
     {**PART, "timings": TIMINGS},
     {"the root counts the prompt, and tells it at the end": "~tokens_evaluated",
      "times are told at the end": "-timings"}),
    ("POST", "/completion", {}, 400, "whole", LLAMA_ERROR, ERROR_DIFFERENCES),
    ("POST", "/completion", {"prompt": TOO_LONG}, 400, "whole",
     {"error": {**LLAMA_ERROR["error"], "n_prompt_tokens": INT, "n_ctx": INT}},
     {**ERROR_DIFFERENCES, "the message has both": "-error.n_prompt_tokens -error.n_ctx"}),
    ("POST", "/tokenize", {"content": "Hello"}, 200, "whole", {"tokens": [INT]}, {}),
    ("POST", "/tokenize", {"content": "Hello", "with_pieces": True}, 200, "whole",
     {"tokens": [{"id": INT, "piece": STR}]}, {}),
    ("POST", "/detokenize", {"tokens": [70, 80]}, 200, "whole", {"content": STR}, {}),
    ("POST", "/apply-template", {"messages": MESSAGES}, 200, "whole", {"prompt": STR}, {}),
    ("GET", "/health", None, 200, "whole", {"status": STR},
     {"what is wrong with the devices, for who watches them": "+reading_models +warnings"}),
    ("GET", "/slots", None, 200, "whole",
     [{"id": INT, "n_ctx": INT, "speculative": BOOL, "is_processing": BOOL, "id_task": INT,
       "params": PARAMS, "next_token": [ANY]}],
     {"a request has no slot of its own": "-[].id_task -[].params -[].next_token"}),
    ("GET", "/props", None, 200, "whole",
     {"default_generation_settings": {"params": PARAMS, "n_ctx": INT}, "total_slots": INT,
      "model_alias": STR, "model_path": STR, "modalities": {"vision": BOOL, "audio": BOOL},
      "media_marker": STR, "endpoint_slots": BOOL, "endpoint_props": BOOL,
      "endpoint_metrics": BOOL, "webui": BOOL, "webui_settings": ANY, "chat_template": STR,
      "chat_template_caps": ANY, "bos_token": STR, "eos_token": STR, "build_info": STR,
      "is_sleeping": BOOL, "chat_template_tool_use?": STR},
     {NO_SUCH_SAMPLER: lacks("default_generation_settings.params", OTHER_SAMPLERS),
      "inner affairs of llama-server's parser of chats":
          lacks("default_generation_settings.params", PARSER),
      "n_predict has it": "-default_generation_settings.params.max_tokens",
      "as in the settings of an answer": "+default_generation_settings.params.stop",
      "of a page and of pictures that Shoal does not have":
          "-webui -webui_settings -media_marker",
      "switches of llama-server's command line":
          "-endpoint_slots -endpoint_props -endpoint_metrics -is_sleeping",
      "found by llama-server's own trials of the template; /api/show has capabilities":
          "-chat_template_caps"}),
    ("GET", "/v1/models", None, 200, "whole",
     {"object": STR, "models": [ANY],
      "data": [{"id": STR, "aliases": [STR], "tags": [STR], "object": STR, "created": POSITIVE,
                "owned_by": STR,
                "meta": {"vocab_type": INT, "n_vocab": INT, "n_ctx_train": INT, "n_embd": INT,
                         "n_params": INT, "size": INT}}]},
     {"a second list in Ollama's form, of empty texts: /api/tags has it": "-models",
      "a model has one name here": "-data[].aliases -data[].tags",
      "a file's date is not known": "~data[].created",
      "files are not opened for the list; /api/show tells of one":
          lacks("data[].meta", "vocab_type n_vocab n_embd"),
      "what a cluster knows of its files":
          marked("+", "data[]",
                 "hash architecture quantisation file_bytes parameters loaded devices"),
      "the context, by the names of other servers":
          marked("+", "data[]", "context context_length max_model_len")}),
    ("POST", "/v1/completions", {"prompt": "Hello", "max_tokens": 4, **GREEDY}, 200, "whole",
     {**HEAD, "usage": USAGE, "timings": TIMINGS,
      "choices": [{"index": INT, "text": STR, "logprobs": NULL, "finish_reason": STR}]},
     {SHOALS_TIMES: SHOALS_TIMINGS, OPENAI_HAS_IT: "+usage.completion_tokens_details"}),
    ("POST", "/v1/chat/completions", CHAT, 200, "whole",
     {**HEAD, "choices": [CHOICE], "usage": USAGE, "timings": TIMINGS}, CHAT_DIFFERENCES),
    ("POST", "/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}, 200, "whole",
     {**HEAD, "usage": USAGE, "timings": TIMINGS,
      "choices": [{**CHOICE, "logprobs": {"content": [{**SCORE, "top_logprobs": [SCORE]}]}}]},
     {SHOALS_TIMES: SHOALS_TIMINGS,
      OPENAI_HAS_IT: "+choices[].message.refusal +choices[].logprobs.refusal"
                     " +usage.completion_tokens_details",
      "OpenAI's API has no ids of tokens": "-choices[].logprobs.content[].id"
                                           " -choices[].logprobs.content[].top_logprobs[].id"}),
    ("POST", "/v1/chat/completions",
     {**CHAT, "max_tokens": 200, "tools": [LAMP], "tool_choice": "required"}, 200, "whole",
     {**HEAD, "usage": USAGE, "timings": TIMINGS,
      "choices": [{**CHOICE, "message": {"role": STR, "content": STR, "tool_calls": [CALL]}}]},
     {**CHAT_DIFFERENCES, "null beside calls, as OpenAI has it": "~choices[].message.content"}),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}, 200, "parts", CHUNK,
     {OPENAI_HAS_IT: "+choices[].logprobs +choices[].delta.refusal"}),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}, 200, "last",
     {**CHUNK, "timings": TIMINGS},
     {OPENAI_HAS_IT: "+choices[].logprobs", SHOALS_TIMES: SHOALS_TIMINGS}),
    ("POST", "/v1/chat/completions",
     {**CHAT, "stream": True, "stream_options": {"include_usage": True}}, 200, "last",
     {**HEAD, "choices": [ANY], "usage": USAGE, "timings": TIMINGS},
     {OPENAI_HAS_IT: "+usage.completion_tokens_details",
      "with each choice's last chunk, the one before": "-timings"}),
]

# ---- Ollama

DETAILS = {"parent_model": STR, "format": STR, "family": STR, "families": [STR],
           "parameter_size": STR, "quantization_level": STR}
ENTRY = {"name": STR, "model": STR, "size": INT, "digest": STR, "details": DETAILS}
METRICS = {"total_duration": INT, "load_duration": INT, "prompt_eval_count": INT,
           "prompt_eval_duration": INT, "eval_count": INT, "eval_duration": INT}
OLLAMA_SCORE = {"token": STR, "logprob": NUM, "bytes?": [INT]}
OLLAMA_HEAD = {"model": STR, "created_at": TIME, "done": BOOL}
CHAT_PART = {**OLLAMA_HEAD, "message": {"role": STR, "content": STR}}
CHAT_LAST = {**CHAT_PART, "done_reason": STR, **METRICS}
TEXT_PART = {**OLLAMA_HEAD, "response": STR}
TEXT_LAST = {**TEXT_PART, "done_reason": STR, "context": [INT], **METRICS}
NO_CONTEXT = {"deprecated by Ollama: conversations are what /api/chat is for": "-context"}
ASKED = {**OLLAMA, "messages": MESSAGES}
ERROR = {"error": STR}

OLLAMAS = [
    ("GET", "/api/version", None, 200, "whole", {"version": STR}, {}),
    ("GET", "/api/tags", None, 200, "whole",
     {"models": [{**ENTRY, "modified_at": TIME, "capabilities": [STR],
                  "details": {**DETAILS, "context_length": INT, "embedding_length": INT}}]},
     {FROM_SHOW: "-models[].capabilities -models[].details.embedding_length"}),
    ("GET", "/api/ps", None, 200, "whole",
     {"models": [{**ENTRY, "expires_at": TIME, "size_vram": INT, "context_length": INT}]}, {}),
    ("POST", "/api/show", {"model": "tiny"}, 200, "whole",
     {"license?": STR, "modelfile": STR, "parameters?": STR, "template": STR, "system?": STR,
      "details": DETAILS, "capabilities": [STR], "modified_at": TIME,
      "tensors": [{"name": STR, "type": STR, "shape": [INT]}],
      "model_info": {"general.architecture": STR, "general.parameter_count": INT,
                     "general.file_type": INT, "general.quantization_version": INT,
                     "qwen2.context_length": INT, "qwen2.embedding_length": INT,
                     "qwen2.block_count": INT, "qwen2.attention.head_count": INT,
                     "qwen2.attention.head_count_kv": INT, "qwen2.feed_forward_length": INT,
                     "*": ANY}},
     {"hundreds of entries, which only Ollama's own client prints": "-tensors"}),
    ("POST", "/api/chat", {**ASKED, "stream": False}, 200, "whole", CHAT_LAST, {}),
    ("POST", "/api/chat", ASKED, 200, "parts", CHAT_PART, {}),
    ("POST", "/api/chat", ASKED, 200, "last", CHAT_LAST, {}),
    ("POST", "/api/chat", {**ASKED, "stream": False, "think": True}, 200, "whole",
     {**CHAT_LAST, "message": {"role": STR, "content": STR, "thinking": STR}}, {}),
    ("POST", "/api/chat", {**ASKED, "stream": False, "logprobs": True, "top_logprobs": 2}, 200,
     "whole",
     {**CHAT_LAST, "logprobs": [{**OLLAMA_SCORE, "top_logprobs": [OLLAMA_SCORE]}]}, {}),
    ("POST", "/api/chat", {"model": "tiny", "messages": []}, 200, "last",
     {**CHAT_PART, "done_reason": STR}, {}),
    ("POST", "/api/generate", {**OLLAMA, "prompt": "Hello", "stream": False}, 200, "whole",
     TEXT_LAST, NO_CONTEXT),
    ("POST", "/api/generate", {**OLLAMA, "prompt": "Hello"}, 200, "parts", TEXT_PART, {}),
    ("POST", "/api/generate", {**OLLAMA, "prompt": "Hello"}, 200, "last", TEXT_LAST, NO_CONTEXT),
    ("POST", "/api/generate", {"model": "tiny"}, 200, "last",
     {**TEXT_PART, "done_reason": STR}, {}),
    ("POST", "/api/embed", {"model": "tiny", "input": ["a", "b"]}, 200, "whole",
     {"model": STR, "embeddings": [[NUM]], "total_duration": INT, "load_duration": INT,
      "prompt_eval_count": INT}, {}),
    ("POST", "/api/embeddings", {"model": "tiny", "prompt": "a"}, 200, "whole",
     {"embedding": [NUM]}, {}),
    ("POST", "/api/pull", {"model": "tiny", "stream": False}, 200, "whole", {"status": STR}, {}),
    ("POST", "/api/chat", {**ASKED, "model": "absent"}, 404, "whole", ERROR, {}),
    ("POST", "/api/generate", {"model": "absent", "prompt": "Hello"}, 404, "whole", ERROR, {}),
    ("POST", "/api/show", {"model": "absent"}, 404, "whole", ERROR, {}),
    ("POST", "/api/show", {}, 400, "whole", ERROR, {}),
    ("POST", "/api/chat", [1], 400, "whole", ERROR, {}),
]


def objects(text):
    """Those of an answer: one, or those of a stream, without the comments and [DONE]."""
    if text.startswith(("data:", ":")):
        lines = [line.removeprefix("data: ") for line in text.splitlines()
                 if line.startswith("data: ") and line != "data: [DONE]"]
    else:
        lines = text.splitlines()
    return [json.loads(line) for line in lines]


class DialectsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(1)
        cls.device = cls.cluster.devices[0]
        make_model(cls.device.models / "tiny.gguf", shape="tiny", type="f32", arch="qwen2",
                   context=2048, chat_template=TEMPLATE)
        cls.cluster.start()
        # Errors after what is told of the loading would have no status.
        loaded = cls.device.shoal("load", "tiny")
        assert loaded.returncode == 0, loaded.stderr

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def check(self, method, path, body, status, which, shape, differences):
        got, _, text = self.device.http(method, path, body)
        self.assertEqual(got, status, text)
        answers = objects(text)
        meant = {"whole": answers, "parts": answers[:-1], "last": answers[-1:]}[which]
        self.assertTrue(meant, text)
        if which == "whole":
            self.assertEqual(len(answers), 1, text)
        found = set().union(*(compare(shape, answer) for answer in meant))
        listed = {one for marks in differences.values() for one in marks.split()}
        self.assertEqual(sorted(found - listed), [], "differs, and no reason is given")
        self.assertEqual(sorted(listed - found), [], "is listed, and differs no more")

    def check_all(self, rows):
        for row in rows:
            with self.subTest(f"{row[1]} {str(row[2])[:60]} {row[4]}"):
                self.check(*row)

    def test_llama_server(self):
        self.check_all(LLAMA_SERVER)

    def test_ollama(self):
        self.check_all(OLLAMAS)


class CompareTest(unittest.TestCase):
    def test_each_way_to_differ_is_found(self):
        shape = {"a": INT, "b": [{"c": STR}], "d?": INT, "e": {"*": ANY}}
        same = {"a": 1, "b": [{"c": "x"}], "e": {"any": None}}
        self.assertEqual(compare(shape, same), set())
        self.assertEqual(compare(shape, {**same, "a": 1.0, "b": [{"c": 2, "f": 0}, {}], "g": 0}),
                         {"~a", "~b[].c", "+b[].f", "-b[].c", "+g"})
        self.assertEqual(compare(shape, {"b": {}, "d": None, "e": []}), {"-a", "~b", "~d", "~e"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
