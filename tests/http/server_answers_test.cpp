// What a server answers, whole and as streams.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/reply.hpp"
#include "tests/http/server_fixture.hpp"

namespace shoal::http::test::server_test {

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

}  // namespace shoal::http::test::server_test
