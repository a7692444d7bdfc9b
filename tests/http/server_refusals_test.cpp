// Requests that a server refuses.
#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/http/server_fixture.hpp"

namespace shoal::http::test::server_test {

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

}  // namespace shoal::http::test::server_test
