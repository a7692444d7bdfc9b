// Clients that come, go, drip and do not read; and a server that stops.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/http/server_fixture.hpp"
#include "tests/instrumented.hpp"

namespace shoal::http::test::server_test {

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

}  // namespace shoal::http::test::server_test
