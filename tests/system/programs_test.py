"""What programs send when they are connected to a server of Ollama's or OpenAI's kind, and for a
first chat with a tool: each request as the program sends it, and that of its answer which the
program reads. Read in their public sources in November 2026."""

import datetime
import http.client
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import PATIENCE, Cluster, make_model  # noqa: E402

NAME = "tiny"
TAGGED = f"{NAME}:latest"
CONTEXT = 4096
TEMPLATE = pathlib.Path(__file__).parents[1] / "clients" / "tools.jinja"

cluster = None


def setUpModule():
    global cluster
    cluster = Cluster(2)
    for device in cluster.devices:
        make_model(device.models / f"{NAME}.gguf", shape="tiny", type="f32", arch="qwen2",
                   context=CONTEXT, chat_template=TEMPLATE)
    cluster.start()


def tearDownModule():
    cluster.close()


def is_time(text):
    return isinstance(text, str) and datetime.datetime.fromisoformat(text).tzinfo is not None


def is_json(text):
    return isinstance(json.loads(text), dict)


def is_count(number):
    return type(number) is int and number >= 0


class Program(unittest.TestCase):
    """The device answers requests with these headers; see `reads` for what is checked."""
    HEADERS = {}

    def ask(self, method, path, body=None, status=200):
        """(headers, text): exactly these headers are sent, and those that HTTP needs."""
        connection = http.client.HTTPConnection("127.0.0.1", cluster.devices[0].http_port(),
                                                timeout=PATIENCE)
        data = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, self.HEADERS)
        answer = connection.getresponse()
        text = answer.read().decode()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        self.assertEqual(answer.status, status, f"{method} {path}: {text}")
        return headers, text

    def json(self, method, path, body=None, status=200):
        headers, text = self.ask(method, path, body, status)
        self.assertTrue(headers["content-type"].startswith("application/json"), headers)
        return json.loads(text)

    def lines(self, path, body):
        """The objects of an answer of one JSON object a line."""
        headers, text = self.ask("POST", path, body)
        self.assertEqual(headers["content-type"], "application/x-ndjson")
        self.assertTrue(text.endswith("\n"))
        return [json.loads(line) for line in text.splitlines()]

    def events(self, path, body):
        """The data of server-sent events, up to [DONE]."""
        headers, text = self.ask("POST", path, body)
        self.assertTrue(headers["content-type"].startswith("text/event-stream"), headers)
        data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        self.assertEqual(data.pop(), "[DONE]", text[-200:])
        return [json.loads(one) for one in data]

    def reads(self, value, shape, where="answer"):
        """That the value has what the shape has: a type, a value, a test of it, an object with at
        least these members, or a list of which each is of one shape."""
        if isinstance(shape, dict):
            self.assertIsInstance(value, dict, where)
            for name, inner in shape.items():
                here = f"{where}.{name}"
                self.assertIn(name, value, here)
                self.reads(value[name], inner, here)
        elif isinstance(shape, list):
            self.assertIsInstance(value, list, where)
            self.assertTrue(value, where)
            for i, one in enumerate(value):
                self.reads(one, shape[0], f"{where}[{i}]")
        elif isinstance(shape, type):
            self.assertIsInstance(value, shape, where)
        elif callable(shape):
            self.assertTrue(shape(value), f"{where} is {value!r}")
        else:
            self.assertEqual(value, shape, where)


# What is common to answers of one API.
TAGS = {"models": [{
    "name": TAGGED, "model": TAGGED, "modified_at": is_time, "digest": str, "size": is_count,
    "details": {"format": "gguf", "family": "qwen2", "families": list, "parameter_size": str,
                "quantization_level": "F32"}}]}
LOADED = {"models": [{**TAGS["models"][0], "expires_at": is_time, "size_vram": is_count,
                      "context_length": is_count}]}
del LOADED["models"][0]["modified_at"]
COUNTS = {"total_duration": is_count, "load_duration": is_count, "prompt_eval_count": is_count,
          "prompt_eval_duration": is_count, "eval_count": is_count, "eval_duration": is_count}
SAID = {"model": str, "created_at": is_time, "done": False,
        "message": {"role": "assistant", "content": str}}
OVER = {**SAID, "done": True, "done_reason": lambda r: r in ("stop", "length"), **COUNTS}

MODELS = {"object": "list", "data": [{"id": NAME, "object": "model", "created": is_count,
                                      "owned_by": str}]}
USAGE = {"prompt_tokens": is_count, "completion_tokens": is_count, "total_tokens": is_count,
         "prompt_tokens_details": {"cached_tokens": is_count},
         "completion_tokens_details": {"reasoning_tokens": is_count}}
CHUNK = {"id": str, "object": "chat.completion.chunk", "created": is_count, "model": NAME}
VECTOR = [float]


class OllamaProgram(Program):
    def check_chat(self, lines):
        """The text of a streamed chat."""
        for line in lines[:-1]:
            self.reads(line, SAID)
        self.reads(lines[-1], OVER)
        return "".join(line["message"]["content"] for line in lines)


class OpenAIProgram(Program):
    def check_chat(self, chunks, usage):
        """The text of a streamed chat."""
        for chunk in chunks:
            self.reads(chunk, CHUNK)
        if usage:
            last = chunks.pop()
            self.assertEqual(last["choices"], [])
            self.reads(last["usage"], USAGE)
        self.reads(chunks[0]["choices"], [{"index": 0, "delta": {"role": "assistant"}}])
        self.assertIn(chunks[-1]["choices"][0]["finish_reason"], ("stop", "length"))
        self.assertEqual({c["choices"][0]["finish_reason"] for c in chunks[:-1]}, {None})
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)


TURN_ON = {
    "name": "HassTurnOn",
    "description": "Turns on/opens/presses a device or entity.",
    "parameters": {"type": "object", "required": [], "properties": {
        "name": {"type": "string"}, "area": {"type": "string"}, "floor": {"type": "string"},
        "domain": {"type": "array", "items": {"type": "string"}},
        "device_class": {"type": "array", "items": {
            "type": "string", "enum": ["awning", "blind", "curtain", "outlet", "switch"]}}}},
}
GET_TIME = {"name": "get_current_time", "description": "Tell the time in a place.",
            "parameters": {"type": "object", "required": ["place"], "properties": {
                "place": {"type": "string", "enum": ["Rome", "Oslo"]}}}}


def function(tool):
    return {"type": "function", "function": tool}


ASSIST = [
    {"role": "system", "content": "You are a voice assistant for Home Assistant.\n"
                                  "Answer questions about the world truthfully."},
    {"role": "user", "content": "turn on the lamp"},
]


class HomeAssistantOllama(OllamaProgram):
    """homeassistant/components/ollama, by ollama-python."""
    HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate, br",
               "Connection": "keep-alive", "Content-Type": "application/json",
               "User-Agent": "ollama-python/0.6.1 (x86_64 linux) Python/3.13.9"}
    CHAT = {"model": TAGGED, "stream": True, "options": {"num_ctx": 8192.0}, "keep_alive": -1,
            "think": False}

    def test_connect(self):
        self.reads(self.json("GET", "/api/tags"), TAGS)
        pulled = self.json("POST", "/api/pull",
                           {"model": TAGGED, "insecure": False, "stream": False})
        self.assertEqual(pulled["status"], "success")
        error = self.json("POST", "/api/pull",
                          {"model": "llama3.2:latest", "insecure": False, "stream": False}, 404)
        self.reads(error, {"error": lambda text: "llama3.2:latest" in text})

    def test_assist(self):
        tools = [function(TURN_ON), function({
            "name": "GetLiveContext", "parameters": {"type": "object", "properties": {}},
            "description": "Provides real-time information about devices."})]
        self.check_chat(self.lines("/api/chat", {**self.CHAT, "messages": ASSIST, "tools": tools}))
        # A result has no name, and a message that only calls no content.
        result = [
            {"role": "assistant", "tool_calls": [{"function": {
                "name": "HassTurnOn", "arguments": {"name": "lamp", "domain": ["light"]}}}]},
            {"role": "tool", "content": '{"data":{"speech":{}},"error":null}'}]
        self.check_chat(self.lines("/api/chat", {**self.CHAT, "messages": ASSIST + result,
                                                 "tools": tools}))
        # It asks after that for what is in memory.
        self.reads(self.json("GET", "/api/ps"), LOADED)

    def test_task(self):
        schema = {"type": "object", "required": ["room"], "properties": {
            "room": {"type": "string", "enum": ["hall", "kitchen"]}}}
        text = self.check_chat(self.lines("/api/chat", {**self.CHAT, "messages": ASSIST,
                                                        "format": schema}))
        self.assertIn(json.loads(text)["room"], ("hall", "kitchen"))

    def test_thoughts_stream_beside_the_answer(self):
        # Of such a model, a draw may end the thought before it began.
        lines = self.lines("/api/chat", {**self.CHAT, "messages": ASSIST, "think": True,
                                         "options": {"temperature": 0, "num_predict": 20}})
        self.assertTrue("".join(line["message"].get("thinking", "") for line in lines))


class HomeAssistantLlamaCpp(OpenAIProgram):
    """homeassistant/components/llama_cpp, by openai-python; its base URL ends with /v1."""
    HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate, br",
               "Connection": "keep-alive", "Content-Type": "application/json",
               "Authorization": "Bearer sk-0000000000000000000",
               "User-Agent": "AsyncOpenAI/Python 2.21.0", "X-Stainless-Async": "async:asyncio",
               "X-Stainless-Lang": "python", "X-Stainless-OS": "Linux",
               "X-Stainless-Retry-Count": "0"}
    CHAT = {"model": NAME, "max_tokens": 100, "stream": True, "temperature": 0.7, "top_p": 1.0,
            "user": "01KB9Y6Z0PQ1W8Q5V5N8J1R2AB", "tools": [function(TURN_ON)]}

    def test_connect(self):
        self.reads(self.json("GET", "/v1/models"), MODELS)
        probe = {
            "messages": [{"role": "system", "content": "You are a helpful assistant."},
                         {"role": "user", "content": "What is the capital of France?"}],
            "model": NAME, "max_tokens": 3, "stream": False,
            "tools": [function({"name": "test_function", "description": "Test function.",
                                "parameters": {"type": "object", "properties": {}}})]}
        whole = self.json("POST", "/v1/chat/completions", probe)
        self.reads(whole, {"choices": [{"message": {"role": "assistant"}}], "usage": USAGE})
        self.assertLessEqual(whole["usage"]["completion_tokens"], 3)
        self.check_chat(self.events("/v1/chat/completions", {**probe, "stream": True}), False)

    def test_assist(self):
        self.check_chat(self.events("/v1/chat/completions", {**self.CHAT, "messages": ASSIST}),
                        False)
        result = [
            {"role": "assistant", "content": None, "tool_calls": [
                {"type": "function", "id": "call_1", "function": {
                    "name": "HassTurnOn", "arguments": '{"name":"lamp"}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"data":{},"error":null}'}]
        self.check_chat(self.events("/v1/chat/completions",
                                    {**self.CHAT, "messages": ASSIST + result}), False)

    def test_errors_have_a_message(self):
        error = self.json("POST", "/v1/chat/completions",
                          {**self.CHAT, "model": "gpt-3.5-turbo", "messages": ASSIST}, 404)
        self.reads(error, {"error": {"message": lambda text: "gpt-3.5-turbo" in text}})

    def test_task(self):
        schema = {"type": "object", "required": ["room"], "properties": {
            "room": {"type": "string", "enum": ["hall", "kitchen"]}}}
        body = {**self.CHAT, "messages": ASSIST, "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "task", "strict": True, "schema": schema}}}
        del body["tools"]
        text = self.check_chat(self.events("/v1/chat/completions", body), False)
        self.assertIn(json.loads(text)["room"], ("hall", "kitchen"))


class OpenWebUiOllama(OllamaProgram):
    """Open WebUI's connection of Ollama's kind, by aiohttp and requests."""
    HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent":
               "Python/3.11 aiohttp/3.13.2", "Content-Type": "application/json",
               "X-OpenWebUI-User-Name": "Ada", "X-OpenWebUI-User-Id": "7f3c",
               "X-OpenWebUI-User-Email": "ada@example.org", "X-OpenWebUI-User-Role": "admin"}
    MESSAGES = [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What time is it in Rome?"}]

    def test_connect(self):
        self.reads(self.json("GET", "/api/version"), {"version": str})
        self.reads(self.json("GET", "/api/tags"), TAGS)
        self.ask("POST", "/api/generate", {"model": TAGGED, "stream": False})  # loads it
        self.reads(self.json("GET", "/api/ps"), LOADED)
        shown = self.json("POST", "/api/show", {"name": TAGGED, "model": TAGGED})
        self.reads(shown, {"template": str, "parameters": str, "details": dict, "model_info": dict,
                           "capabilities": [str]})

    def test_chat(self):
        body = {"model": TAGGED, "messages": self.MESSAGES, "stream": True,
                "keep_alive": "10m", "think": False, "options": {
                    "temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 0, "mirostat": 0,
                    "mirostat_eta": 0.1, "mirostat_tau": 5.0, "num_ctx": 2048, "num_batch": 512,
                    "num_keep": 24, "num_predict": 40, "repeat_last_n": 64, "min_p": 0.0,
                    "typical_p": 1.0, "repeat_penalty": 1.1, "presence_penalty": 0.0,
                    "frequency_penalty": 0.0, "penalize_newline": True, "stop": ["<stop>"],
                    "numa": False, "num_gpu": 0, "main_gpu": 0, "low_vram": False,
                    "vocab_only": False, "use_mmap": True, "use_mlock": False, "num_thread": 2}}
        lines = self.lines("/api/chat", body)
        self.check_chat(lines)
        # The rates that are shown are these counts by these times.
        self.assertGreater(lines[-1]["eval_duration"], 0)
        self.assertGreater(lines[-1]["prompt_eval_duration"], 0)

    def test_chat_with_a_tool(self):
        body = {"model": TAGGED, "messages": self.MESSAGES, "stream": True,
                "tools": [function(GET_TIME)], "options": {"num_predict": 40}}
        self.check_chat(self.lines("/api/chat", body))
        result = [{"role": "assistant", "content": "", "tool_calls": [
                      {"index": 0, "id": "call_a", "function": {
                          "name": GET_TIME["name"], "arguments": {"place": "Rome"}}}]},
                  {"role": "tool", "content": "12:00", "tool_call_id": "call_a"}]
        self.check_chat(self.lines("/api/chat", {**body, "messages": self.MESSAGES + result}))

    def test_title(self):
        body = {"model": TAGGED, "stream": False, "options": {"num_predict": 20},
                "messages": [{"role": "user", "content": "Generate a title."}]}
        self.reads(self.json("POST", "/api/chat", body), OVER)

    def test_vectors(self):
        for body in ({"input": ["a lamp", "a clock"], "model": TAGGED, "truncate": True},
                     {"input": ["a lamp", "a clock"], "model": TAGGED,
                      "prompt": "a lamp\na clock"}):
            answer = self.json("POST", "/api/embed", body)
            self.reads(answer, {"embeddings": [VECTOR]})
            self.assertEqual(len(answer["embeddings"]), 2)

    def test_unload(self):
        answer = self.json("POST", "/api/generate",
                           {"model": TAGGED, "keep_alive": 0, "prompt": "", "stream": False})
        self.reads(answer, {"done": True, "done_reason": "unload"})


class OpenWebUiOpenAI(OpenAIProgram):
    """Open WebUI's connection of OpenAI's kind; its URL ends with /v1."""
    HEADERS = {**OpenWebUiOllama.HEADERS, "Authorization": "Bearer none"}
    MESSAGES = OpenWebUiOllama.MESSAGES

    def test_connect(self):
        self.reads(self.json("GET", "/v1/models"), MODELS)

    def test_chat(self):
        body = {"stream": True, "model": NAME, "messages": self.MESSAGES,
                "stream_options": {"include_usage": True}, "temperature": 0.8, "top_p": 0.9,
                "min_p": 0.05, "max_tokens": 40, "frequency_penalty": 0.0,
                "presence_penalty": 0.0, "seed": 42, "stop": ["<stop>"], "logit_bias": {"5": -100}}
        self.check_chat(self.events("/v1/chat/completions", body), True)

    def test_thoughts_are_read_from_reasoning_content(self):
        body = {"stream": True, "model": NAME, "messages": self.MESSAGES, "max_tokens": 20,
                "temperature": 0, "reasoning_effort": "low"}
        chunks = self.events("/v1/chat/completions", body)
        self.assertTrue("".join(c["choices"][0]["delta"].get("reasoning_content", "")
                                for c in chunks))

    def test_chat_with_a_tool(self):
        body = {"stream": True, "model": NAME, "tools": [function(GET_TIME)], "max_tokens": 40}
        self.check_chat(self.events("/v1/chat/completions",
                                    {**body, "messages": self.MESSAGES}), False)
        # Calls go back as they came, with their index.
        result = [{"role": "assistant", "content": "", "tool_calls": [
                      {"index": 0, "id": "call_a", "type": "function", "function": {
                          "name": GET_TIME["name"], "arguments": '{"place": "Rome"}'}}]},
                  {"role": "tool", "tool_call_id": "call_a", "content": "12:00"}]
        self.check_chat(self.events("/v1/chat/completions",
                                    {**body, "messages": self.MESSAGES + result}), False)

    def test_title(self):
        body = {"model": NAME, "stream": False, "max_completion_tokens": 20,
                "messages": [{"role": "user", "content": "Generate a title."}]}
        self.reads(self.json("POST", "/v1/chat/completions", body),
                   {"choices": [{"message": {"content": str}}]})

    def test_vectors(self):
        answer = self.json("POST", "/v1/embeddings",
                           {"input": ["a lamp", "a clock"], "model": NAME})
        self.reads(answer, {"data": [{"embedding": VECTOR, "index": is_count}]})


class ContinueOllama(OllamaProgram):
    """Continue's provider "ollama"."""
    HEADERS = {"Content-Type": "application/json", "Accept": "*/*",
               "Accept-Encoding": "gzip, deflate, br", "Connection": "close",
               "User-Agent": "node-fetch"}
    OPTIONS = {"num_predict": 64, "num_ctx": 8192, "temperature": 0.5, "stop": ["<stop>"]}
    CHAT = {"model": NAME, "options": OPTIONS, "keep_alive": 1800, "stream": True}
    MESSAGES = [{"role": "system", "content": "<important_rules>\nYou are in agent mode.\n"
                                              "</important_rules>"},
                {"role": "user", "content": "What time is it in Rome?"}]

    def test_connect(self):
        self.reads(self.json("GET", "/api/tags"), TAGS)
        shown = self.json("POST", "/api/show", {"name": NAME})
        self.reads(shown, {"template": str, "parameters": str})
        self.assertNotIn(".Suffix", shown["template"])

    def test_chat_with_a_tool(self):
        tools = [function(GET_TIME)]
        self.check_chat(self.lines("/api/chat", {**self.CHAT, "messages": self.MESSAGES,
                                                 "tools": tools}))
        whole = self.json("POST", "/api/chat", {**self.CHAT, "messages": self.MESSAGES,
                                                "tools": tools, "stream": False})
        self.reads(whole, {"message": {"role": "assistant", "content": str}})
        result = [{"role": "assistant", "content": "", "tool_calls": [
                      {"function": {"name": GET_TIME["name"], "arguments": {"place": "Rome"}}}]},
                  {"role": "tool", "content": "12:00"}]
        self.check_chat(self.lines("/api/chat", {**self.CHAT, "tools": tools,
                                                 "messages": self.MESSAGES + result}))

    def test_completion(self):
        lines = self.lines("/api/generate", {"model": NAME, "prompt": "def f(", "raw": True,
                                             "options": self.OPTIONS, "keep_alive": 1800,
                                             "stream": True})
        for line in lines:
            self.reads(line, {"response": str})

    def test_vectors(self):
        answer = self.json("POST", "/api/embed", {"model": NAME, "input": ["int x;", "int y;"]})
        self.reads(answer, {"embeddings": [VECTOR]})


class ContinueOpenAI(OpenAIProgram):
    """Continue's providers "openai" and "llama.cpp"."""
    HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer none",
               "Accept": "application/json", "User-Agent": "node-fetch", "api-key": "none",
               "x-api-key": "none"}

    def test_connect(self):
        self.reads(self.json("GET", "/v1/models"), MODELS)

    def test_chat_with_a_tool(self):
        body = {"model": NAME, "max_tokens": 64, "temperature": 0.5, "stream": True,
                "stream_options": {"include_usage": True}, "tools": [function(GET_TIME)],
                "messages": ContinueOllama.MESSAGES}
        self.check_chat(self.events("/v1/chat/completions", body), True)
        # No content is a space, which other servers want.
        result = [{"role": "assistant", "content": " ", "tool_calls": [
                      {"id": "call_a", "type": "function", "function": {
                          "name": GET_TIME["name"], "arguments": '{"place":"Rome"}'}}]},
                  {"role": "tool", "content": "12:00", "tool_call_id": "call_a"}]
        body["messages"] = body["messages"] + result
        self.check_chat(self.events("/v1/chat/completions", body), True)

    def test_llama_cpp(self):
        headers, text = self.ask("POST", "/completion", {
            "prompt": "def f(", "stream": True, "n_predict": 16, "top_k": 40, "top_p": 0.9,
            "temperature": 0.5, "stop": ["<stop>"]})
        self.assertTrue(headers["content-type"].startswith("text/event-stream"))
        data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        for one in data:
            self.reads(one, {"content": str, "stop": bool})
        self.assertEqual([one["stop"] for one in data], [False] * (len(data) - 1) + [True])


class N8nOllama(OllamaProgram):
    """n8n's credentials and chat model of Ollama, by axios and LangChain's ChatOllama."""
    HEADERS = {"Content-Type": "application/json", "Accept": "application/json",
               "User-Agent": "ollama-js/0.6.3 (x64 linux Node.js/v22.21.1)"}

    def test_connect(self):
        _, text = self.ask("GET", "/")
        self.assertEqual(text, "Ollama is running")
        self.reads(self.json("GET", "/api/tags"), TAGS)

    def test_agent(self):
        # Every option of the node, with its default.
        body = {"model": TAGGED, "keep_alive": "5m", "stream": True,
                "options": {"temperature": 0.7, "top_k": -1, "top_p": 1, "frequency_penalty": 0,
                            "low_vram": False, "main_gpu": 0, "num_batch": 512, "num_ctx": 2048,
                            "num_gpu": -1, "num_predict": 40, "num_thread": 0,
                            "penalize_newline": True, "presence_penalty": 0, "repeat_penalty": 1,
                            "use_mlock": False, "use_mmap": True, "vocab_only": False},
                "tools": [function(GET_TIME)],
                "messages": [{"role": "system", "content": "You are a helpful assistant"},
                             {"role": "user", "content": "What time is it in Rome?"}]}
        self.check_chat(self.lines("/api/chat", body))
        body["messages"] += [
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "6f0c", "type": "function", "function": {
                    "name": GET_TIME["name"], "arguments": {"place": "Rome"}}}]},
            {"role": "tool", "content": "[{\"response\":\"12:00\"}]"}]
        self.check_chat(self.lines("/api/chat", body))

    def test_json(self):
        lines = self.lines("/api/chat", {
            "model": TAGGED, "format": "json", "stream": True, "options": {"num_predict": 40},
            "messages": [{"role": "user", "content": "Answer as JSON."}]})
        self.assertTrue(self.check_chat(lines).startswith("{"))


class N8nOpenAI(OpenAIProgram):
    """n8n's credentials and chat model of OpenAI, by LangChain's ChatOpenAI, over both APIs."""
    HEADERS = {"Content-Type": "application/json", "Accept": "application/json",
               "Authorization": "Bearer none", "User-Agent": "OpenAI/JS 6.16.0",
               "X-Stainless-Lang": "js", "X-Stainless-Retry-Count": "0", "openai-platform":
               "org-qkmJQuJ2WnvoIKMr2UJwIJkZ"}
    MESSAGES = [{"role": "system", "content": "You are a helpful assistant"},
                {"role": "user", "content": "What time is it in Rome?"}]

    def test_connect(self):
        self.reads(self.json("GET", "/v1/models"), MODELS)

    def test_agent(self):
        body = {"model": NAME, "temperature": 0.7, "top_p": 1, "frequency_penalty": 0,
                "presence_penalty": 0, "max_tokens": 40, "messages": self.MESSAGES,
                "tools": [function(GET_TIME)]}
        self.check_chat(self.events("/v1/chat/completions", {
            **body, "stream": True, "stream_options": {"include_usage": True}}), True)
        whole = self.json("POST", "/v1/chat/completions", {**body, "stream": False})
        self.reads(whole, {"choices": [{"message": {"role": "assistant", "content": str},
                                        "finish_reason": str}], "usage": USAGE})

    def test_json(self):
        whole = self.json("POST", "/v1/chat/completions", {
            "model": NAME, "messages": self.MESSAGES, "max_tokens": 40, "stream": False,
            "response_format": {"type": "json_object"}})
        self.assertTrue(whole["choices"][0]["message"]["content"].startswith("{"))

    def test_responses(self):
        body = {"model": NAME, "max_output_tokens": 100, "stream": False, "input": [
                    {"type": "message", "role": "system", "content": "Be brief."},
                    {"type": "message", "role": "user", "content": "What time is it in Rome?"}],
                "tools": [{"type": "function", **GET_TIME, "strict": None}],
                "tool_choice": {"type": "function", "name": GET_TIME["name"]},
                "parallel_tool_calls": False, "text": {"format": {"type": "text"}}}
        first = self.json("POST", "/v1/responses", body)
        self.reads(first, {"id": str, "object": "response", "status": "completed", "model": NAME,
                           "error": None, "incomplete_details": None, "metadata": dict,
                           "usage": {"input_tokens": is_count, "output_tokens": is_count,
                                     "total_tokens": is_count,
                                     "input_tokens_details": {"cached_tokens": is_count},
                                     "output_tokens_details": {"reasoning_tokens": is_count}}})
        call = next(item for item in first["output"] if item["type"] == "function_call")
        self.reads(call, {"id": str, "call_id": str, "name": GET_TIME["name"],
                          "arguments": is_json})
        body["input"] += [call, {"type": "function_call_output", "call_id": call["call_id"],
                                 "output": "12:00"}]
        del body["tool_choice"]
        body["max_output_tokens"] = 20
        headers, text = self.ask("POST", "/v1/responses", {**body, "stream": True})
        self.assertTrue(headers["content-type"].startswith("text/event-stream"))
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        self.assertEqual(events[0]["type"], "response.created")
        self.assertIn(events[-1]["type"], ("response.completed", "response.incomplete"))


class LibreChat(OpenAIProgram):
    """LibreChat's custom endpoint, by axios and LangChain's ChatOpenAI."""
    HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/plain, */*",
               "Authorization": "Bearer none", "User-Agent": "OpenAI/JS 6.16.0",
               "Accept-Encoding": "gzip, compress, deflate, br"}
    CHAT = {"model": NAME, "stream": True, "user": "6740a0c6f0a1", "max_tokens": 40,
            "stream_options": {"include_usage": True}}
    MESSAGES = [{"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": [{"type": "text", "text": "What time is it?"}]}]

    def test_connect(self):
        self.reads(self.json("GET", "/v1/models"), MODELS)
        # One that is called "ollama" is asked in Ollama's way.
        self.reads(self.json("GET", "/api/tags"), TAGS)

    def test_chat_with_a_tool(self):
        body = {**self.CHAT, "tools": [function(GET_TIME)], "messages": self.MESSAGES}
        self.check_chat(self.events("/v1/chat/completions", body), True)
        result = [{"role": "assistant", "content": "", "tool_calls": [
                      {"id": "call_a", "type": "function", "function": {
                          "name": GET_TIME["name"], "arguments": '{"place":"Rome"}'}}]},
                  {"role": "tool", "content": "12:00", "name": GET_TIME["name"],
                   "tool_call_id": "call_a"}]
        body["messages"] = self.MESSAGES + result
        self.check_chat(self.events("/v1/chat/completions", body), True)

    def test_title(self):
        schema = {"type": "object", "required": ["title"], "additionalProperties": False,
                  "$schema": "http://json-schema.org/draft-07/schema#",
                  "properties": {"title": {"type": "string", "maxLength": 8,
                                           "description": "A concise title."}}}
        body = {"model": NAME, "stream": False, "messages": self.MESSAGES, "max_tokens": 200,
                "parallel_tool_calls": False,
                "tools": [function({"name": "generate_title", "description": "",
                                    "parameters": schema})],
                "tool_choice": {"type": "function", "function": {"name": "generate_title"}}}
        whole = self.json("POST", "/v1/chat/completions", body)
        self.reads(whole, {"choices": [{
            "finish_reason": "tool_calls", "message": {"tool_calls": [
                {"id": str, "type": "function",
                 "function": {"name": "generate_title", "arguments": is_json}}]}}]})


if __name__ == "__main__":
    unittest.main(verbosity=2)
