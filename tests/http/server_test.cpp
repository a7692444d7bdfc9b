// The server over real sockets on loopback, with a scripted service behind it.
#include "daemon/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "daemon/http/reply.hpp"
#include "tests/http/client.hpp"
#include "tests/http/scripted_service.hpp"
#include "tests/instrumented.hpp"

namespace shoal::http::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

HttpOptions test_options() {
    HttpOptions options;
    options.port = 0;
    return options;
}

/// The service goes last, as the server uses it.
struct Fixture {
    ScriptedService service;
    HttpServer server;
    explicit Fixture(HttpOptions options = test_options(), ScriptedService::AtOnce at_once = {})
        : service(std::move(at_once)), server(std::move(options), service) {}

    Client client() { return Client(server.port()); }
    Response ask(const std::string& request) {
        Client c = client();
        REQUIRE(c.send(request));
        return c.read_response(request.starts_with("HEAD"));
    }
};

/// From an event to its arrival. The median, as the machine may be busy with something else.
class Latencies {
  public:
    void add(Clock::duration time) { times_.push_back(time); }
    double median_ms() {
        std::sort(times_.begin(), times_.end());
        return std::chrono::duration<double, std::milli>(times_.at(times_.size() / 2)).count();
    }

  private:
    std::vector<Clock::duration> times_;
};

std::string data_of(const std::string& event) {
    REQUIRE(event.starts_with("data: "));
    return event.substr(6);
}

json json_of(const std::string& event) {
    return json::parse(data_of(event));
}

std::string error_code(const Response& response) {
    CHECK(response.headers.at("content-type") == "application/json");
    const json error = json::parse(response.body).at("error");
    CHECK(error.at("message").is_string());
    CHECK(error.at("type").is_string());
    CHECK(error.contains("param"));
    return error.at("code");
}

Done done(StopReason reason = StopReason::end) {
    Done d;
    d.reason = reason;
    d.text = std::string("!");  // GCC 12 warns wrongly of short literals (PR 105651).
    d.prompt_tokens = 3;
    d.generated_tokens = 2;
    d.model = "tiny-q4";
    d.devices = 2;
    return d;
}

json usage(int prompt, int completion) {
    return {{"prompt_tokens", prompt},
            {"completion_tokens", completion},
            {"total_tokens", prompt + completion},
            {"prompt_tokens_details", {{"cached_tokens", 0}}},
            {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

const std::string kPrompt = R"({"prompt":"Hi"})";
const std::string kStream = R"({"prompt":"Hi","stream":true,"max_tokens":-1})";

}  // namespace

TEST_SUITE("server answers") {
    TEST_CASE("a completion waits for its end and has text, reason and usage") {
        Fixture f;
        Client c = f.client();
        c.send(
            post("/v1/completions", R"({"model":"tiny","prompt":"Hi","max_tokens":5,"seed":7})"));
        const auto call = f.service.next();
        CHECK(call.door == Door::http);
        const auto& g = std::get<Generate>(call.request);
        CHECK(g.prompt == "Hi");
        CHECK(g.max_tokens == 5);
        CHECK(g.sampling.seed == 7);
        f.service.emit(call.ticket, Progress{"queued", 1, 2});
        f.service.emit(call.ticket, Token{0, 1, " the"});
        f.service.emit(call.ticket, Token{1, 2, ""});
        CHECK(c.silent(50ms));
        f.service.emit(call.ticket, Token{2, 3, " end"});
        f.service.emit(call.ticket, done(StopReason::length));
        const Response r = c.read_response();
        CHECK(r.status == 200);
        CHECK(r.headers.at("content-type") == "application/json");
        CHECK_FALSE(r.headers.contains("access-control-allow-origin"));
        const json body = json::parse(r.body);
        CHECK(body["object"] == "text_completion");
        CHECK(body["id"].get<std::string>().starts_with("cmpl-"));
        CHECK(body["model"] == "tiny-q4");
        CHECK(body["choices"][0]["text"] == " the end!");
        CHECK(body["choices"][0]["finish_reason"] == "length");
        CHECK(body["choices"][0]["index"] == 0);
        CHECK(body["usage"] == usage(3, 2));
        CHECK(body["timings"]["devices"] == 2);
        CHECK(body["timings"]["predicted_n"] == 2);
        CHECK(body["system_fingerprint"] == "shoal");
    }

    TEST_CASE("without a seed each request has another") {
        Fixture f;
        Client a = f.client(), b = f.client();
        a.send(post("/v1/completions", kPrompt));
        b.send(post("/v1/completions", kPrompt));
        const auto first = f.service.next(), second = f.service.next();
        CHECK(std::get<Generate>(first.request).sampling.seed !=
              std::get<Generate>(second.request).sampling.seed);
    }

    TEST_CASE("a stream sends each token when it comes") {
        Fixture f;
        Client c = f.client();
        c.send(post("/v1/completions",
                    R"({"prompt":"Hi","stream":true,"stream_options":{"include_usage":true}})"));
        const auto call = f.service.next();
        CHECK(c.silent(50ms));
        f.service.emit(call.ticket, Progress{"loading\ntiny", 40, 100});
        const Response head = c.read_head();
        CHECK(head.status == 200);
        CHECK(head.headers.at("content-type") == "text/event-stream");
        CHECK(head.headers.at("cache-control") == "no-store");
        CHECK(c.read_event() == ": loading tiny 40/100");

        Latencies latencies;
        for (int i = 0; i < 20; ++i) {
            const auto before = Clock::now();
            f.service.emit(call.ticket, Token{std::uint32_t(i), i, " w" + std::to_string(i)});
            const json event = json_of(c.read_event());
            latencies.add(Clock::now() - before);
            CHECK(event["choices"][0]["text"] == " w" + std::to_string(i));
            CHECK(event["choices"][0]["finish_reason"].is_null());
            CHECK(event["usage"].is_null());
        }
        CHECK(latencies.median_ms() < 30);  // Far more than it takes; delayed sending is 40 ms.
        f.service.emit(call.ticket, done());
        const json last = json_of(c.read_event());
        CHECK(last["choices"][0]["text"] == "!");
        CHECK(last["choices"][0]["finish_reason"] == "stop");
        const json usage = json_of(c.read_event());
        CHECK(usage["choices"].empty());
        CHECK(usage["usage"]["total_tokens"] == 5);
        CHECK(data_of(c.read_event()) == "[DONE]");
        CHECK(c.read_chunk().empty());
        // The connection is kept.
        c.send(get("/nothing"));
        CHECK(c.read_response().status == 404);
    }

    TEST_CASE("every chunk of a stream has the model's own name") {
        Fixture f;
        Client c = f.client();
        c.send(post("/v1/completions", kStream));
        const auto call = f.service.next();
        f.service.emit(call.ticket, Token{0, 1, "", "tiny-q4"});
        f.service.emit(call.ticket, Token{1, 1, "a", ""});
        f.service.emit(call.ticket, done());
        c.read_head();
        CHECK(json_of(c.read_event())["model"] == "tiny-q4");
        CHECK(json_of(c.read_event())["model"] == "tiny-q4");
    }

    TEST_CASE("several prompts are choices of one answer, some of them at a time") {
        Fixture f;
        Client c = f.client();
        c.send(post("/v1/completions", R"({"prompt":["a","b","c"],"n":2,"seed":5})"));
        std::vector<ScriptedService::Call> calls;
        for (std::size_t i = 0; i < Reply::kAtOnce; ++i) calls.push_back(f.service.next());
        f.service.settle();
        CHECK(f.service.started() == Reply::kAtOnce);
        // The last ones end first.
        for (const int i : {3, 2, 1, 0}) {
            f.service.emit(calls[i].ticket, Token{0, 1, std::to_string(i), "tiny-q4"});
            f.service.emit(calls[i].ticket, done());
            if (calls.size() < 6) calls.push_back(f.service.next());
        }
        for (const int i : {4, 5}) {
            const auto& g = std::get<Generate>(calls[i].request);
            CHECK(g.prompt == "c");
            CHECK(g.sampling.seed == 5U + i - 4U);
            f.service.emit(calls[i].ticket, Token{0, 1, std::to_string(i), "tiny-q4"});
            f.service.emit(calls[i].ticket, done(StopReason::length));
        }
        const Response r = c.read_response();
        CHECK(r.status == 200);
        const json body = json::parse(r.body);
        REQUIRE(body["choices"].size() == 6);
        for (int i = 0; i < 6; ++i) {
            CHECK(body["choices"][i]["index"] == i);
            CHECK(body["choices"][i]["text"] == std::to_string(i) + "!");
            CHECK(body["choices"][i]["finish_reason"] == (i < 4 ? "stop" : "length"));
        }
        // A prompt counts once.
        CHECK(body["usage"] == usage(9, 12));
    }

    TEST_CASE("a stream of several choices names the choice in every chunk") {
        Fixture f;
        Client c = f.client();
        c.send(
            post("/v1/completions",
                 R"({"prompt":["a","b"],"stream":true,"stream_options":{"include_usage":true}})"));
        const auto first = f.service.next(), second = f.service.next();
        f.service.emit(second.ticket, Token{0, 1, "x"});
        f.service.emit(first.ticket, Token{0, 1, "y"});
        f.service.emit(second.ticket, done());
        f.service.emit(first.ticket, done());
        c.read_head();
        for (const int index : {1, 0, 1, 0}) {
            const json choice = json_of(c.read_event())["choices"][0];
            CHECK(choice["index"] == index);
        }
        CHECK(json_of(c.read_event())["usage"]["total_tokens"] == 10);
        CHECK(data_of(c.read_event()) == "[DONE]");
        CHECK(c.read_chunk().empty());
    }

    TEST_CASE("one choice that fails ends the others, and so does a client that leaves") {
        Fixture f;
        const std::string eight = R"({"prompt":"a","n":8})";
        const auto start = [&](Client& c) {
            c.send(post("/v1/completions", eight));
            std::vector<Service::Ticket> tickets;
            while (tickets.size() < Reply::kAtOnce) tickets.push_back(f.service.next().ticket);
            return tickets;
        };
        Client fails = f.client();
        auto tickets = start(fails);
        f.service.emit(tickets[1], Failed{ErrorCode::busy, "full"});
        CHECK(fails.read_response().status == 503);
        for (const int i : {0, 2, 3}) CHECK(f.service.wait_cancelled(tickets[i]));
        Client leaves = f.client();
        tickets = start(leaves);
        leaves.close();
        for (const auto ticket : tickets) CHECK(f.service.wait_cancelled(ticket));
        f.service.settle();
        CHECK(f.service.started() == 2 * Reply::kAtOnce);
    }

    TEST_CASE("choices that end at once are all made") {
        Fixture f(test_options(), [](const Request& request) {
            return std::vector<Event>{Token{0, 1, std::get<Generate>(request).prompt}, done()};
        });
        const Response r = f.ask(post("/v1/completions", R"({"prompt":["a","b"],"n":32})"));
        const json choices = json::parse(r.body)["choices"];
        REQUIRE(choices.size() == 64);
        CHECK(choices[31]["text"] == "a!");
        CHECK(choices[32]["text"] == "b!");
    }

    TEST_CASE("a stream without usage does not mention it") {
        Fixture f;
        Client c = f.client();
        c.send(post("/v1/completions", kStream));
        const auto call = f.service.next();
        f.service.emit(call.ticket, Token{0, 1, "a"});
        f.service.emit(call.ticket, done());
        c.read_head();
        CHECK_FALSE(json_of(c.read_event()).contains("usage"));
        CHECK_FALSE(json_of(c.read_event()).contains("usage"));
        CHECK(data_of(c.read_event()) == "[DONE]");
    }

    TEST_CASE("a chat is answered whole and streamed") {
        Fixture f(test_options(), [](const Request& request) {
            CHECK_FALSE(std::get<Generate>(request).chat.empty());
            return std::vector<Event>{Token{0, 1, "a"}, done()};
        });
        const std::string messages = R"("messages":[{"role":"user","content":"Hi"}])";
        const Response whole = f.ask(post("/v1/chat/completions", "{" + messages + "}"));
        CHECK(whole.status == 200);
        CHECK(json::parse(whole.body)["choices"][0]["message"]["content"] == "a!");
        const Response stream =
            f.ask(post("/v1/chat/completions", "{" + messages + R"(,"stream":true})"));
        CHECK(stream.headers.at("content-type") == "text/event-stream");
        CHECK(stream.body.ends_with("data: [DONE]\n\n"));
    }

    TEST_CASE("a response is kept for the next request, until it is deleted") {
        Fixture f(test_options(), [](const Request& request) {
            CHECK(std::get<Generate>(request).chat.find("first") != std::string::npos);
            return std::vector<Event>{Token{0, 1, "a"}, done()};
        });
        const json first = json::parse(f.ask(post("/v1/responses", R"({"input":"first"})")).body);
        const std::string id = first["id"];
        const std::string next = R"({"input":"x","previous_response_id":")" + id + "\"}";
        CHECK(f.ask(post("/v1/responses", next)).status == 200);
        CHECK(json::parse(f.ask(get("/v1/responses/" + id)).body) == first);
        const std::string erase =
            "DELETE /v1/responses/" + id + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
        CHECK(f.ask(erase).status == 200);
        CHECK(f.ask(erase).status == 404);
        CHECK(error_code(f.ask(post("/v1/responses", next))) == "previous_response_not_found");
        CHECK(f.ask(post("/v1/responses/" + id, "{}")).headers.at("allow") == "GET, HEAD, DELETE");
    }

    TEST_CASE("a long text that is repeated at the end is not too much for a stream") {
        HttpOptions options = test_options();
        options.max_stream_buffer_bytes = 1000;
        Fixture f(options);
        Client c = f.client();
        c.send(post("/v1/responses", R"({"input":"a","stream":true})"));
        const auto call = f.service.next();
        f.service.emit(call.ticket, Token{0, 1, std::string(50'000, 'x')});
        c.read_head();
        while (c.read_event().find("output_text.delta") == std::string::npos) {
        }
        f.service.emit(call.ticket, done());
        std::string event = c.read_event();
        while (event.find("response.completed") == std::string::npos) event = c.read_event();
        CHECK(event.size() > 50'000);
        CHECK(c.read_chunk().empty());
    }

    TEST_CASE("broken UTF-8 from a model does not break the JSON") {
        Fixture f(test_options(), [](const Request&) {
            return std::vector<Event>{Token{0, 1, "a\xC3"}, done()};
        });
        const Response r = f.ask(post("/v1/completions", kPrompt));
        CHECK(json::parse(r.body)["choices"][0]["text"] == "a\xEF\xBF\xBD!");
    }

    TEST_CASE("refusals have their status, before a stream as well") {
        const struct {
            ErrorCode code;
            int status;
            bool retry;
        } expected[] = {{ErrorCode::bad_request, 400, false},   {ErrorCode::not_found, 404, false},
                        {ErrorCode::busy, 503, true},           {ErrorCode::too_large, 413, false},
                        {ErrorCode::unavailable, 503, true},    {ErrorCode::internal, 500, false},
                        {ErrorCode::cancelled, 499, false},     {ErrorCode::forbidden, 403, false},
                        {ErrorCode::context_length, 400, false}};
        for (const auto& [code, status, retry] : expected) {
            Fixture f(test_options(), [code = code](const Request&) {
                return std::vector<Event>{Failed{code, "because \xFF"}};
            });
            for (const std::string& body : {kPrompt, kStream}) {
                const Response r = f.ask(post("/v1/completions", body));
                CHECK(r.status == status);
                CHECK(r.headers.contains("retry-after") == retry);
                error_code(r);
            }
            CHECK(f.ask(get("/v1/models")).status == status);
            CHECK(f.ask(post("/tokenize", R"({"content":"x"})")).status == status);
        }
    }

    TEST_CASE("an unknown model and a prompt that is too long have OpenAI's codes") {
        const auto error = [](ErrorCode code) {
            Fixture f(test_options(), [code](const Request&) {
                return std::vector<Event>{Failed{code, "the prompt has 600 tokens"}};
            });
            return json::parse(f.ask(post("/v1/completions", kStream)).body)["error"];
        };
        CHECK(error(ErrorCode::context_length)["code"] == "context_length_exceeded");
        CHECK(error(ErrorCode::context_length)["param"] == "prompt");
        CHECK(error(ErrorCode::context_length)["type"] == "invalid_request_error");
        CHECK(error(ErrorCode::not_found)["code"] == "model_not_found");
        CHECK(error(ErrorCode::not_found)["param"] == "model");
    }

    TEST_CASE("a failure within a stream is an event and the end") {
        Fixture f(test_options(), [](const Request&) {
            return std::vector<Event>{Token{0, 1, "a"}, Failed{ErrorCode::internal, "lost"}};
        });
        Client c = f.client();
        c.send(post("/v1/completions", kStream));
        CHECK(c.read_head().status == 200);
        CHECK(json_of(c.read_event())["choices"][0]["text"] == "a");
        CHECK(json_of(c.read_event())["error"]["message"] == "lost");
        CHECK(data_of(c.read_event()) == "[DONE]");
        CHECK(c.read_chunk().empty());
    }

    TEST_CASE("a generation that the service cancels is an error, not an answer") {
        Fixture f(test_options(), [](const Request&) {
            return std::vector<Event>{Token{0, 1, "a"}, done(StopReason::cancelled)};
        });
        CHECK(f.ask(post("/v1/completions", kPrompt)).status == 499);
    }

    TEST_CASE("tokenize and detokenize ask the service") {
        Fixture f(test_options(), [](const Request& request) {
            if (const auto* t = std::get_if<TokenizeRequest>(&request)) {
                CHECK(t->text == "Hi");
                CHECK_FALSE(t->add_special);
                return std::vector<Event>{TokenizeReply{{1, 15}, {"<s>", "Hi"}}};
            }
            CHECK(std::get<DetokenizeRequest>(request).ids == std::vector<std::int32_t>{1, 15});
            return std::vector<Event>{DetokenizeReply{"Hi"}};
        });
        CHECK(f.ask(post("/tokenize", R"({"content":"Hi","add_special":false})")).body ==
              R"({"tokens":[1,15]})");
        CHECK(f.ask(post("/detokenize", R"({"tokens":[1,15]})")).body == R"({"content":"Hi"})");
    }

    TEST_CASE("tokenize tells the tokens' texts when it is to, and parts of characters by bytes") {
        TokenizeReply reply{{1, 15, 7, 8, 9},
                            {"<s>", "H\xC3\xA9\"\n", "\xC3", "\xA9x", "\xF0\x9F\x90\x9F"}};
        Fixture f(test_options(), [&](const Request&) { return std::vector<Event>{reply}; });
        const auto ask = [&] {
            return f.ask(post("/tokenize", R"({"content":"Hi","with_pieces":true})"));
        };
        CHECK(ask().body ==
              "{\"tokens\":[{\"id\":1,\"piece\":\"<s>\"},"
              "{\"id\":15,\"piece\":\"H\xC3\xA9\\\"\\n\"},"
              "{\"id\":7,\"piece\":[195]},{\"id\":8,\"piece\":[169,120]},"
              "{\"id\":9,\"piece\":\"\xF0\x9F\x90\x9F\"}]}");
        reply.ids.assign(65'537, 1);
        reply.pieces.assign(65'537, "a");
        CHECK(ask().status == 413);
    }

    TEST_CASE("models and cluster list what the service says, HEAD the head of it") {
        Fixture f(test_options(), [](const Request& request) {
            if (std::holds_alternative<ModelsRequest>(request)) {
                ModelInfo m;
                m.name = "tiny", m.hash = "ab", m.parameters = 1ULL << 40, m.loaded = true;
                m.devices = {"00"};
                return std::vector<Event>{ModelsReply{{m}}};
            }
            StatusReply s;
            s.self = "00", s.root = "11", s.term = ~0ULL, s.plan = 4, s.model = "tiny";
            s.tokens_per_second = 12.5;
            DeviceInfo d;
            d.id = "00", d.rank = 0, d.slice.q_heads = {0, 8}, d.weight_bytes = 99;
            s.devices = {d, DeviceInfo{}};
            return std::vector<Event>{s};
        });
        const Response models = f.ask(get("/v1/models"));
        const json list = json::parse(models.body);
        CHECK(list["object"] == "list");
        CHECK(list["data"][0]["id"] == "tiny");
        CHECK(list["data"][0]["object"] == "model");
        CHECK(list["data"][0]["parameters"] == 1ULL << 40);

        CHECK(json::parse(f.ask(get("/v1/models/tiny")).body) == list["data"][0]);
        CHECK(json::parse(f.ask(get("/v1/models/%74iny")).body)["id"] == "tiny");
        CHECK(json::parse(f.ask(get("/v1/models/ab")).body)["id"] == "tiny");
        const Response unknown = f.ask(get("/v1/models/org%2Fother"));
        CHECK(unknown.status == 404);
        CHECK(error_code(unknown) == "model_not_found");
        CHECK(json::parse(unknown.body)["error"]["param"] == "model");
        CHECK(unknown.body.find("org/other") != std::string::npos);
        CHECK(f.ask("POST /v1/models/tiny HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 405);

        const json cluster = json::parse(f.ask(get("/v1/cluster")).body);
        CHECK(cluster["root"] == "11");
        CHECK(cluster["term"] == ~0ULL);
        CHECK(cluster["model"]["name"] == "tiny");
        CHECK(cluster["tokens_per_second"] == 12.5);
        CHECK(cluster["devices"][0]["slice"]["q_heads"] == json::array({0, 8}));
        CHECK(cluster["devices"][0]["slice"]["weight_bytes"] == 99);
        CHECK(cluster["devices"][1]["rank"].is_null());

        const Response head = f.ask("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
        CHECK(head.status == 200);
        CHECK(head.headers.at("content-length") == models.headers.at("content-length"));
    }

    TEST_CASE("health is 200 with a root and 503 with a reason without") {
        std::string root = "11";
        Fixture f(test_options(), [&](const Request&) {
            StatusReply s;
            s.root = root;
            return std::vector<Event>{root == "fail" ? Event{Failed{ErrorCode::internal, "broken"}}
                                                     : Event{s}};
        });
        CHECK(f.ask(get("/health")).body ==
              R"({"status":"ok","reading_models":false,"warnings":[]})");
        root = "";
        const Response electing = f.ask(get("/health"));
        CHECK(electing.status == 503);
        CHECK(electing.headers.contains("retry-after"));
        CHECK(json::parse(electing.body)["reason"].get<std::string>().find("root") !=
              std::string::npos);
        root = "fail";
        CHECK(json::parse(f.ask(get("/health")).body)["reason"] == "broken");
    }

    TEST_CASE("a service that does not answer is given up") {
        HttpOptions options = test_options();
        options.answer_timeout = 100ms;
        Fixture f(options);
        CHECK(f.ask(get("/health")).status == 503);
        const auto health = f.service.next();
        CHECK(f.service.wait_cancelled(health.ticket));
        CHECK(f.ask(get("/v1/models")).status == 503);
        CHECK(f.service.wait_cancelled(f.service.next().ticket));
        // A generation may take as long as it takes.
        Client c = f.client();
        c.send(post("/v1/completions", kPrompt));
        const auto call = f.service.next();
        CHECK(c.silent(400ms));
        f.service.emit(call.ticket, done());
        CHECK(c.read_response().status == 200);
    }
}

TEST_SUITE("server refuses") {
    TEST_CASE("unknown paths, methods and media types") {
        Fixture f;
        CHECK(error_code(f.ask(get("/v2/completions"))) == "not_found");
        const Response wrong_method = f.ask(get("/v1/completions"));
        CHECK(wrong_method.status == 405);
        CHECK(wrong_method.headers.at("allow") == "POST");
        CHECK(f.ask("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                    "http://localhost\r\n\r\n")
                  .status == 405);
        CHECK(f.ask("DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").headers.at("allow") ==
              "GET, HEAD");
        CHECK(f.ask("POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\n\r\n")
                  .status == 411);
        for (const char* type :
             {"Content-Type: text/plain\r\n", "", "Content-Type: application/jsonx\r\n",
              "Content-Type: application/x-www-form-urlencoded\r\n",
              "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"}) {
            const Response r = f.ask("POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" +
                                     std::string(type) + "Content-Length: 2\r\n\r\n{}");
            CHECK(r.status == 415);
        }
        CHECK(f.ask("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                    "Content-Type: Application/JSON ; charset=utf-8\r\n\r\n{}")
                  .status == 400);
        CHECK(f.service.started() == 0);
    }

    TEST_CASE("foreign hosts and origins") {
        Fixture f;
        const auto with = [&](const std::string& headers) {
            return f.ask("GET /nothing HTTP/1.1\r\n" + headers + "\r\n").status;
        };
        CHECK(with("Host: localhost:8090\r\n") == 404);
        CHECK(with("Host: 127.0.0.1\r\n") == 404);
        CHECK(with("Host: evil.example\r\n") == 403);
        CHECK(with("Host: localhost\r\nHost: localhost\r\n") == 400);
        CHECK(with("Host: localhost\r\nOrigin: http://localhost\r\n") == 404);
        CHECK(with("Host: localhost\r\nOrigin: http://evil.example\r\n") == 403);
        CHECK(with("Host: localhost\r\nOrigin: null\r\n") == 403);
        Client none = f.client();
        none.send("GET /health HTTP/1.1\r\n\r\n");
        CHECK(none.read_head().status == 400);
        Client old = f.client();
        old.send("GET /health HTTP/1.0\r\n\r\n");
        CHECK(old.read_head().status == 400);
        // Such a request does not reach the service, whatever it asks for.
        CHECK(f.ask(post("/v1/completions", kPrompt, "Origin: http://evil.example\r\n")).status ==
              403);
        CHECK(f.service.started() == 0);
    }

    TEST_CASE("pages of no origin but those of the settings, which may read the answers") {
        HttpOptions options = test_options();
        options.allowed_origins = {"https://chat.example", "chrome-extension://abc"};
        options.api_key = "sesame-sesame-se";
        Fixture f(options, [](const Request& request) {
            if (!std::holds_alternative<Generate>(request))
                return std::vector<Event>{ModelsReply{}};
            return std::vector<Event>{Token{0, 1, "a"}, done()};
        });
        const std::string key = "Authorization: Bearer sesame-sesame-se\r\n";
        const std::string ours = "Origin: chrome-extension://abc\r\n";
        const auto allowed = [](const Response& r) {
            const auto found = r.headers.find("access-control-allow-origin");
            return found == r.headers.end() ? "" : found->second;
        };
        const Response models = f.ask(get("/v1/models", key + ours));
        CHECK(models.status == 200);
        CHECK(allowed(models) == "chrome-extension://abc");
        CHECK(models.headers.at("vary") == "Origin");
        // Errors and streams as well.
        CHECK(allowed(f.ask(get("/v1/models", ours))) == "chrome-extension://abc");
        CHECK(allowed(f.ask(post("/v1/completions", "{}", key + ours))) ==
              "chrome-extension://abc");
        CHECK(allowed(f.ask(post("/v1/completions", kStream, key + ours))) ==
              "chrome-extension://abc");
        const Response evil = f.ask(get("/v1/models", key + "Origin: https://evil.example\r\n"));
        CHECK(evil.status == 403);
        CHECK(allowed(evil).empty());
        CHECK(allowed(f.ask(get("/v1/models", key))).empty());

        const auto preflight = [&](const std::string& path, const std::string& headers) {
            Client c = f.client();
            c.send("OPTIONS " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
            return c.read_head();
        };
        // Others may be named while it serves.
        f.server.allow({"kitchen"}, {"https://evil.example"});
        CHECK(f.ask(get("/v1/models", key + ours)).status == 403);
        CHECK(f.ask(get("/v1/models", key + "Origin: https://evil.example\r\n")).status == 200);
        f.server.allow({}, options.allowed_origins);

        const std::string wish = "Access-Control-Request-Method: POST\r\n";
        const Response yes = preflight("/v1/completions", ours + wish);
        CHECK(yes.status == 204);
        CHECK(allowed(yes) == "chrome-extension://abc");
        CHECK(yes.headers.at("access-control-allow-headers") == "Authorization, Content-Type, *");
        CHECK(preflight("/v1/models", ours + wish).status == 405);
        CHECK(preflight("/nothing", ours + wish).status == 404);
        CHECK(preflight("/v1/completions", ours + key).status == 405);
        const Response no = preflight("/v1/completions", "Origin: https://evil.example\r\n" + wish);
        CHECK(no.status == 403);
        CHECK(allowed(no).empty());
    }

    TEST_CASE("whoever has no key, but health is open") {
        HttpOptions options = test_options();
        options.api_key = "sesame-sesame-se";
        Fixture f(options, [](const Request&) { return std::vector<Event>{StatusReply{}}; });
        const Response none = f.ask(get("/v1/cluster"));
        CHECK(none.status == 401);
        CHECK(none.headers.at("www-authenticate") == "Bearer");
        CHECK(error_code(none) == "api_key_missing");
        CHECK(error_code(f.ask(get("/v1/cluster", "Authorization: Bearer sesame\r\n"))) ==
              "api_key_wrong");
        CHECK(f.ask(get("/nothing")).status == 401);
        CHECK(f.ask(post("/v1/completions", kPrompt)).status == 401);
        CHECK(f.ask(get("/v1/cluster", "Authorization: Bearer sesame-sesame-se\r\n")).status ==
              200);
        CHECK(f.ask(get("/health")).status == 503);
    }

    TEST_CASE("more requests of a client than it may have at a time, in every dialect") {
        HttpOptions options = test_options();
        options.client_requests = 2;
        Fixture f(options);
        const auto ask_with = [&](const char* path, const std::string& body, const char* key) {
            Client c = f.client();
            c.send(post(path, body, std::string("X-Api-Key: ") + key + "\r\n"));
            return c.read_response();
        };
        const std::string key = "X-Api-Key: one\r\n";
        Client first = f.client(), second = f.client(), other = f.client(), watch = f.client();
        first.send(post("/v1/completions", kPrompt, key));
        const auto call = f.service.next();
        second.send(post("/v1/completions", kStream, key));
        const auto streamed = f.service.next();
        CHECK(std::get<Generate>(call.request).client ==
              std::get<Generate>(streamed.request).client);
        CHECK(std::get<Generate>(call.request).client != 0);

        const Response openai = ask_with("/v1/completions", kPrompt, "one");
        CHECK(openai.status == 429);
        CHECK(openai.headers.at("retry-after") == "1");
        CHECK(error_code(openai) == "rate_limit_exceeded");
        const std::string chat =
            R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]})";
        const Response anthropic = ask_with("/v1/messages", chat, "one");
        CHECK(anthropic.status == 429);
        CHECK(json::parse(anthropic.body)["error"]["type"] == "rate_limit_error");
        const Response ollama = ask_with("/api/generate", R"({"model":"m","prompt":"x"})", "one");
        CHECK(ollama.status == 429);
        CHECK(json::parse(ollama.body)["error"].is_string());

        // Others have their own, and what is no answer is not counted.
        other.send(post("/v1/completions", kPrompt, "X-Api-Key: two\r\n"));
        const auto others = f.service.next();
        CHECK(std::get<Generate>(others.request).client != std::get<Generate>(call.request).client);
        watch.send(get("/v1/cluster", key));
        CHECK(std::holds_alternative<StatusRequest>(f.service.next().request));

        // Another limit holds at once.
        f.server.limit_clients(3);
        Client extra = f.client();
        extra.send(post("/v1/completions", kPrompt, key));
        const auto one_more = f.service.next();
        f.service.emit(one_more.ticket, done());
        CHECK(extra.read_response().status == 200);
        f.server.limit_clients(2);

        // What is over makes room, however it ended.
        f.service.emit(call.ticket, done());
        CHECK(first.read_response().status == 200);
        first.send(post("/v1/completions", kPrompt, key));
        f.service.next();
        second.close();
        REQUIRE(f.service.wait_cancelled(streamed.ticket));
        const std::size_t before = f.service.started();
        while (true) {
            Client third = f.client();
            third.send(post("/v1/completions", kPrompt, key));
            while (f.service.started() == before && third.silent(10ms)) continue;
            if (f.service.started() != before) break;
            CHECK(third.read_response().status == 429);
        }
    }

    TEST_CASE("a full queue says when there may be room") {
        for (const auto& [told, header] : {std::pair{0U, "1"}, {12U, "12"}, {4000U, "60"}}) {
            const auto busy = [seconds = told](const Request&) {
                return std::vector<Event>{Failed{ErrorCode::busy, "full", seconds}};
            };
            Fixture f(test_options(), busy);
            const Response r = f.ask(post("/v1/completions", kPrompt));
            CHECK(r.status == 503);
            CHECK(r.headers.at("retry-after") == header);
        }
    }

    TEST_CASE("to listen beyond loopback without a key, or where it cannot") {
        ScriptedService service;
        const auto start = [&](const std::string& listen, const std::string& key,
                               std::uint16_t port = 0) {
            HttpOptions options;
            options.listen = listen;
            options.api_key = key;
            options.port = port;
            HttpServer server(options, service);
            return server.port();
        };
        CHECK_THROWS_WITH_AS(start("0.0.0.0", ""), doctest::Contains("api_key"), HttpError);
        CHECK_THROWS_AS(start("::", ""), HttpError);
        CHECK_THROWS_AS(start("192.0.2.1", ""), HttpError);
        CHECK_THROWS_WITH_AS(start("localhost", ""), doctest::Contains("no IP address"), HttpError);
        CHECK_THROWS_WITH_AS(start("192.0.2.1", "key"), doctest::Contains("192.0.2.1"), HttpError);
        CHECK(start("0.0.0.0", "key") != 0);
        CHECK(start("::1", "") != 0);
        Fixture f;
        CHECK_THROWS_WITH_AS(start("127.0.0.1", "", f.server.port()), doctest::Contains("in use"),
                             HttpError);
    }

    TEST_CASE("bodies beyond the limit, announced, chunked or thrown away") {
        HttpOptions options = test_options();
        options.max_body_bytes = 1u << 20;
        Fixture f(options);
        const std::string large(options.max_body_bytes + 1, ' ');
        Client announced = f.client();
        announced.send(post("/v1/completions", large).substr(0, 4096));
        CHECK(announced.read_response().status == 413);
        CHECK(announced.ended());

        const std::string chunked =
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n";
        Client endless = f.client();
        endless.send(chunked);
        bool taken = true;
        for (int i = 0; i < 1000 && taken; ++i) {
            taken = endless.send("10000\r\n" + std::string(65536, ' ') + "\r\n");
        }
        CHECK_FALSE(taken);

        // The largest allowed one is only judged by what it says.
        std::string fits = large.substr(1);
        fits.replace(0, kPrompt.size() - 1, kPrompt.substr(0, kPrompt.size() - 1)).back() = '}';
        Client c = f.client();
        c.send(post("/v1/completions", fits));
        f.service.emit(f.service.next().ticket, done());
        CHECK(c.read_response().status == 200);

        c.send(chunked + "2\r\n{\"\r\n1\r\nx\r\n3;note=1\r\n\":1\r\n1\r\n}\r\n0\r\n\r\n");
        CHECK(c.read_response().status == 400);
        // A body where none is wanted is thrown away within the same limit.
        c.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" +
               get("/nothing"));
        CHECK(c.read_response().status == 404);
        CHECK(c.read_response().status == 404);
        Client get_large = f.client();
        get_large.send(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n");
        CHECK(get_large.read_response().status == 413);
    }

    TEST_CASE("bodies that are too long together") {
        HttpOptions options = test_options();
        options.max_body_bytes = 1u << 20;
        options.max_body_bytes_in_all = 3u << 19;
        Fixture f(options);
        const std::string request =
            post("/tokenize", R"({"content":")" + std::string(1000000, 'x') + "\"}");
        Client first = f.client(), second = f.client();
        first.send(request.substr(0, 1000000));
        std::this_thread::sleep_for(50ms);
        second.send(request);
        CHECK(second.read_all().starts_with("HTTP/1.1 503 "));
        first.send(request.substr(1000000));
        const auto call = f.service.next();
        f.service.emit(call.ticket, TokenizeReply{{1}, {}});
        CHECK(first.read_response().status == 200);
        // What the first one had taken is free again.
        Client third = f.client();
        third.send(request);
        f.service.emit(f.service.next().ticket, TokenizeReply{{2}, {}});
        CHECK(third.read_response().status == 200);
    }

    TEST_CASE("headers beyond the limit") {
        HttpOptions options = test_options();
        options.max_header_bytes = 8u << 10;
        Fixture f(options);
        CHECK(f.ask(get("/nothing", "X-Pad: " + std::string(6000, 'a') + "\r\n")).status == 404);
        Client c = f.client();
        c.send(get("/nothing", "X-Pad: " + std::string(64000, 'a') + "\r\n"));
        CHECK(c.read_head().status == 431);
        Client url = f.client();
        url.send("GET /" + std::string(64000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        CHECK(url.read_head().status == 414);
        Client many = f.client();
        std::string headers;
        for (int i = 0; i < 5000; ++i) headers += "A: b\r\n";
        many.send(get("/nothing", headers));
        CHECK(many.read_head().status == 431);
    }

    TEST_CASE("requests whose length has two readings") {
        Fixture f;
        for (const char* framing :
             {"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
              "Content-Length: 2\r\nContent-Length: 2\r\n", "Transfer-Encoding: gzip, chunked\r\n",
              "Content-Length: -2\r\n", "Content-Length: 2x\r\n", "Content-Length: \r\n"}) {
            INFO(std::string(framing));
            Client c = f.client();
            c.send(
                "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                "application/json\r\n" +
                std::string(framing) + "\r\n{}" + get("/nothing"));
            const std::string all = c.read_all();
            CHECK(all.starts_with("HTTP/1.1 400 "));
            INFO(all);
            CHECK(all.find("404") == std::string::npos);  // The rest is no request.
        }
        Client c = f.client();
        c.send(
            "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 99999999999999999999999\r\n\r\n");
        CHECK(c.read_head().status == 413);
    }

    TEST_CASE("clients of Ollama's API need not say that they send JSON, but other pages may not") {
        Fixture f;
        const auto ask = [&](const std::string& path, const std::string& headers) {
            return f.ask("POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
                         "Content-Length: 2\r\n\r\n{}");
        };
        for (const char* type :
             {"", "Content-Type: application/x-www-form-urlencoded\r\n",
              "Content-Type: text/plain;charset=UTF-8\r\n", "Content-Type: application/json\r\n"}) {
            CHECK(ask("/api/show", type).status == 400);
        }
        CHECK(ask("/api/show", "Content-Type: image/png\r\n").status == 415);
        CHECK(ask("/api/show", "Content-Type: text/plain\r\nOrigin: http://evil.example\r\n")
                  .status == 403);
        const Response missing = ask("/api/show", "");
        CHECK(nlohmann::json::parse(missing.body)["error"] == "model is missing");
        CHECK(f.ask(get("/")).body == "Ollama is running");
        CHECK(f.ask("DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 2\r\n\r\n{}")
                  .status == 501);
        CHECK(f.service.started() == 0);
    }

    TEST_CASE("malformed JSON, with the connection kept") {
        Fixture f;
        Client c = f.client();
        for (const std::string& body :
             {std::string("{"), std::string("{\"prompt\":\"\xFF\"}"), std::string(100000, '['),
              std::string("{\"prompt\":1e9999}"), std::string("{\"prompt\":\"x\",\"n\":0}")}) {
            c.send(post("/v1/completions", body));
            const Response r = c.read_response();
            CHECK(r.status == 400);
            CHECK(error_code(r) == "bad_request");
        }
        CHECK(f.service.started() == 0);
    }

    TEST_CASE("what is not HTTP") {
        HttpOptions options = test_options();
        options.header_timeout = 300ms;
        Fixture f(options);
        for (const std::string& text :
             {std::string("hello\r\n\r\n"), std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xFC", 9),
              std::string("GET / HTTP/9.9\r\n\r\n"), std::string(100, '\0'),
              std::string("GET /health HTTP/1.1\r\nHost localhost\r\n\r\n")}) {
            Client c = f.client();
            c.send(text);
            c.half_close();
            const std::string answer = c.read_all();
            CHECK((answer.empty() || answer.starts_with("HTTP/1.1 4") ||
                   answer.starts_with("HTTP/1.1 5") || answer.starts_with("HTTP/1.0 ")));
        }
        CHECK(f.ask(get("/nothing")).status == 404);
    }

    TEST_CASE("a body that is held back by Expect, when it would be refused") {
        Fixture f;
        Client c = f.client();
        c.send(
            "POST /v2 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            "Content-Length: 10\r\n\r\n");
        CHECK(c.read_response().status == 404);
        Client good = f.client();
        good.send(
            "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n");
        CHECK(good.read_until("\r\n\r\n").starts_with("HTTP/1.1 100 "));
        good.send("{}");
        CHECK(good.read_response().status == 400);
    }
}

TEST_SUITE("server and its clients") {
    TEST_CASE("pipelined requests are answered in order") {
        Fixture f(test_options(), [](const Request& request) {
            if (std::holds_alternative<Generate>(request)) {
                return std::vector<Event>{Token{0, 1, "g"}, done()};
            }
            return std::vector<Event>{DetokenizeReply{"d"}};
        });
        Client c = f.client();
        c.send(post("/v1/completions", kPrompt) + get("/nothing") +
               post("/detokenize", R"({"tokens":[1]})") + post("/v1/completions", kStream) +
               get("/nothing"));
        CHECK(c.read_response().status == 200);
        CHECK(c.read_response().status == 404);
        CHECK(c.read_response().body == R"({"content":"d"})");
        CHECK(c.read_head().status == 200);
        while (data_of(c.read_event()) != "[DONE]") {
        }
        CHECK(c.read_until("0\r\n\r\n") == "0\r\n\r\n");
        CHECK(c.read_response().status == 404);
    }

    TEST_CASE("pipelined requests wait for a suspended one") {
        Fixture f;
        Client c = f.client();
        c.send(post("/v1/completions", kPrompt) + post("/v1/completions", kPrompt));
        const auto first = f.service.next();
        CHECK(f.service.started() == 1);
        f.service.emit(first.ticket, Token{0, 1, "one"});
        f.service.emit(first.ticket, done());
        CHECK(json::parse(c.read_response().body)["choices"][0]["text"] == "one!");
        const auto second = f.service.next();
        f.service.emit(second.ticket, Token{0, 1, "two"});
        f.service.emit(second.ticket, done());
        CHECK(json::parse(c.read_response().body)["choices"][0]["text"] == "two!");
    }

    TEST_CASE("HTTP/1.0 gets a stream that ends with the connection") {
        Fixture f(test_options(), [](const Request&) {
            return std::vector<Event>{Token{0, 1, "a"}, done()};
        });
        std::string request = post("/v1/completions", kStream);
        request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
        Client c = f.client();
        c.send(request);
        const std::string all = c.read_all();
        CHECK(all.find("chunked") == std::string::npos);
        CHECK(all.ends_with("data: [DONE]\n\n"));
    }

    TEST_CASE("a client that leaves cancels its generation, whatever it waits for") {
        Fixture f;
        for (const std::string& body : {kPrompt, kStream}) {
            for (const bool with_token : {false, true}) {
                Client c = f.client();
                c.send(post("/v1/completions", body));
                const auto call = f.service.next();
                if (with_token) f.service.emit(call.ticket, Token{0, 1, "a"});
                if (with_token && body == kStream) c.read_head();
                CHECK_FALSE(f.service.wait_cancelled(call.ticket, 50ms));
                c.close();
                CHECK(f.service.wait_cancelled(call.ticket));
            }
        }
        // The server is none the worse for it.
        CHECK(f.ask(get("/nothing")).status == 404);
    }

    TEST_CASE("a client that leaves while another is served does not disturb it") {
        Fixture f;
        Client stays = f.client();
        stays.send(post("/v1/completions", kStream));
        const auto call = f.service.next();
        for (int i = 0; i < 20; ++i) {
            Client leaves = f.client();
            leaves.send(post("/v1/completions", kStream));
            const auto other = f.service.next();
            f.service.emit(other.ticket, Token{0, 1, "x"});
            f.service.emit(call.ticket, Token{std::uint32_t(i), 1, "a"});
            leaves.close();
            CHECK(f.service.wait_cancelled(other.ticket));
        }
        f.service.emit(call.ticket, done());
        stays.read_head();
        for (int i = 0; i < 20; ++i) {
            CHECK(json_of(stays.read_event())["choices"][0]["text"] == "a");
        }
        CHECK_FALSE(f.service.cancelled(call.ticket));
    }

    TEST_CASE("a half-closed client gets what needs no generation") {
        Fixture f;
        Client c = f.client();
        c.send(post("/tokenize", R"({"content":"x"})"));
        c.half_close();
        const auto call = f.service.next();
        std::this_thread::sleep_for(50ms);
        f.service.emit(call.ticket, TokenizeReply{{1}, {}});
        CHECK(c.read_response().status == 200);
        Client generation = f.client();
        generation.send(post("/v1/completions", kPrompt));
        const auto running = f.service.next();
        generation.half_close();
        CHECK(f.service.wait_cancelled(running.ticket));
        CHECK(generation.ended());
    }

    TEST_CASE("a hundred slow streams do not hold up the next client") {
        HttpOptions options = test_options();
        options.max_stream_buffer_bytes = 64u << 10;
        Fixture f(options);
        std::vector<Client> slow;
        std::vector<Service::Ticket> tickets;
        for (int i = 0; i < 100; ++i) {
            slow.emplace_back(f.server.port(), 4096);
            slow.back().send(post("/v1/completions", kStream));
            tickets.push_back(f.service.next().ticket);
        }
        // Enough for every buffer on the way, so that all of them are stuck in the middle.
        const std::string text(8000, 'x');
        for (int round = 0; round < 4; ++round) {
            for (const auto ticket : tickets) f.service.emit(ticket, Token{0, 1, text});
        }
        f.service.settle();

        Client next = f.client();
        next.send(post("/v1/completions", kStream));
        const auto call = f.service.next();
        Latencies latencies;
        for (int i = 0; i < 50; ++i) {
            const auto before = Clock::now();
            f.service.emit(call.ticket, Token{std::uint32_t(i), 1, "t"});
            if (i == 0) next.read_head();
            next.read_event();
            latencies.add(Clock::now() - before);
        }
        MESSAGE("median token beside 100 slow clients: " << latencies.median_ms() << " ms");
        CHECK(latencies.median_ms() < 30);
        for (const auto ticket : tickets) CHECK_FALSE(f.service.cancelled(ticket));
    }

    TEST_CASE("a client that does not read loses its generation, not the server's memory") {
        HttpOptions options = test_options();
        options.max_stream_buffer_bytes = 64u << 10;
        Fixture f(options);
        Client c(f.server.port(), 4096);
        c.send(post("/v1/completions", kStream));
        const auto call = f.service.next();
        // A megabyte is more than the buffers of both kernels and the server's together.
        const std::string text(10000, 'x');
        for (int i = 0; i < 100; ++i) f.service.emit(call.ticket, Token{0, 1, text});
        CHECK(f.service.wait_cancelled(call.ticket));
        // When it reads on, it learns why.
        c.read_head();
        std::string event;
        std::size_t bytes = 0;
        while ((event = c.read_event()) != "data: [DONE]") {
            bytes += event.size();
            if (event.find("\"error\"") != std::string::npos) {
                CHECK(json_of(event)["error"]["code"] == "too_slow");
            } else {
                CHECK(json_of(event)["choices"][0]["text"] == text);
            }
        }
        CHECK(bytes < 900'000);
    }

    TEST_CASE("a long answer that is not streamed ends at its limit") {
        HttpOptions options = test_options();
        options.max_answer_bytes = 1000;
        Fixture f(options);
        Client c = f.client();
        c.send(post("/v1/completions", kPrompt));
        const auto call = f.service.next();
        for (int i = 0; i < 11; ++i)
            f.service.emit(call.ticket, Token{0, 1, std::string(100, 'x')});
        CHECK(c.read_response().status == 413);
        CHECK(f.service.wait_cancelled(call.ticket));
    }

    TEST_CASE("an answer that is never read to its end is given up") {
        HttpOptions options = test_options();
        // Time enough to make an answer of this size.
        options.drain_timeout = shoal::tests::by_speed(200ms, 2000ms);
        Fixture f(options, [](const Request&) {
            return std::vector<Event>{DetokenizeReply{std::string(4u << 20, 'x')}};
        });
        Client c(f.server.port(), 4096);
        c.send(post("/detokenize", R"({"tokens":[1]})"));
        CHECK(c.read_head().status == 200);
        std::this_thread::sleep_for(3 * options.drain_timeout);
        CHECK(c.read_all().size() < (4u << 20));
    }
}

TEST_SUITE("server time limits") {
    TEST_CASE("headers that drip are ended with 408, however steadily they drip") {
        HttpOptions options = test_options();
        options.header_timeout = 300ms;
        Fixture f(options);
        Client c = f.client();
        c.send("GET /health HTTP/1.1\r\nHost: localhost\r\n");
        const auto before = Clock::now();
        bool taken = true;
        while (taken && Clock::now() - before < 5s) {
            taken = c.send("X-A: b\r\n") && c.silent(20ms);
        }
        CHECK(c.read_all().starts_with("HTTP/1.1 408 "));
        CHECK(Clock::now() - before >= 290ms);
        CHECK(Clock::now() - before < 3s);
    }

    TEST_CASE("a silent connection is closed without a word") {
        HttpOptions options = test_options();
        options.header_timeout = 200ms;
        Fixture f(options);
        Client c = f.client();
        CHECK(c.read_all().empty());
    }

    TEST_CASE("a body that drips is ended with 408") {
        HttpOptions options = test_options();
        options.body_timeout = 300ms;
        Fixture f(options);
        Client c = f.client();
        c.send(post("/tokenize", std::string(1000, ' ')).substr(0, 200));
        const auto before = Clock::now();
        bool taken = true;
        while (taken && Clock::now() - before < 5s) taken = c.send(" ") && c.silent(20ms);
        CHECK(c.read_all().starts_with("HTTP/1.1 408 "));
        CHECK(Clock::now() - before < 3s);
    }

    TEST_CASE("a kept connection is closed when it brings nothing more") {
        HttpOptions options = test_options();
        options.idle_timeout = 300ms;
        Fixture f(options);
        Client c = f.client();
        for (int i = 0; i < 3; ++i) {
            c.send(get("/nothing"));
            CHECK(c.read_response().status == 404);
            CHECK(c.silent(100ms));
        }
        const auto before = Clock::now();
        CHECK(c.ended());
        CHECK(Clock::now() - before < 3s);
    }

    TEST_CASE("slow headers do not hold up others, and connections per address are limited") {
        HttpOptions options = test_options();
        options.max_connections_per_ip = 20;
        Fixture f(options);
        std::vector<Client> dripping;
        for (int i = 0; i < 19; ++i) {
            dripping.push_back(f.client());
            dripping.back().send("GET /heal");
        }
        Client last = f.client();
        last.send(get("/nothing"));
        CHECK(last.read_response().status == 404);
        Client beyond = f.client();
        CHECK(beyond.ended());
        last.close();
        // The server may take a moment to notice.
        int status = 0;
        for (int i = 0; i < 200 && status == 0; ++i) {
            Client c = f.client();
            if (c.send(get("/nothing")) && !c.silent(20ms)) {
                try {
                    status = c.read_response().status;
                } catch (const std::runtime_error&) {
                    std::this_thread::sleep_for(20ms);
                }
            }
        }
        CHECK(status == 404);
    }

    TEST_CASE("connections beyond the total wait until one is free") {
        HttpOptions options = test_options();
        options.max_connections = 4;
        Fixture f(options);
        std::vector<Client> open;
        for (int i = 0; i < 4; ++i) {
            open.push_back(f.client());
            open.back().send(get("/nothing"));
            CHECK(open.back().read_response().status == 404);
        }
        Client waits = f.client();
        waits.send(get("/nothing"));
        CHECK(waits.silent(100ms));
        open.pop_back();
        CHECK(waits.read_response().status == 404);
    }
}

TEST_SUITE("server stops") {
    TEST_CASE("whatever is under way, and cancels it") {
        ScriptedService service;
        std::vector<Client> clients;
        std::vector<Service::Ticket> tickets;
        {
            HttpServer server(test_options(), service);
            for (const std::string& body : {kPrompt, kStream, kStream}) {
                clients.emplace_back(server.port());
                clients.back().send(post("/v1/completions", body));
                tickets.push_back(service.next().ticket);
            }
            service.emit(tickets.back(), Token{0, 1, "a"});
            clients.back().read_head();
            clients.emplace_back(server.port());
            clients.back().send("GET /hea");
            clients.emplace_back(server.port());
        }
        for (const auto ticket : tickets) CHECK(service.wait_cancelled(ticket));
        for (Client& client : clients) CHECK_NOTHROW(client.read_all());
        // Events that come too late reach nobody.
        for (const auto ticket : tickets) service.emit(ticket, Token{1, 1, "late"});
        service.settle();
    }

    TEST_CASE("while tokens come and clients go") {
        for (int round = 0; round < 20; ++round) {
            ScriptedService service;
            std::vector<Client> clients;
            auto server = std::make_unique<HttpServer>(test_options(), service);
            std::vector<Service::Ticket> tickets;
            for (int i = 0; i < 8; ++i) {
                clients.emplace_back(server->port());
                clients.back().send(post("/v1/completions", kStream));
                tickets.push_back(service.next().ticket);
            }
            for (int token = 0; token < 50; ++token) {
                for (const auto ticket : tickets) service.emit(ticket, Token{0, 1, "t"});
            }
            for (int i = 0; i < 4; ++i) clients.pop_back();
            server.reset();
            for (const auto ticket : tickets) CHECK(service.wait_cancelled(ticket));
            // A client that stayed has whole events, and no end that would look like one.
            for (Client& client : clients) {
                const std::string all = client.read_all();
                CHECK((all.empty() || all.starts_with("HTTP/1.1 200 ")));
                CHECK(all.find("[DONE]") == std::string::npos);
                CHECK_FALSE(all.ends_with("0\r\n\r\n"));
            }
        }
    }
}

}  // namespace shoal::http::test
