// The page and the stream that keeps it up to date, over real sockets.
#include "daemon/http/page/page.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <thread>

#include "daemon/http/page/files.hpp"
#include "daemon/http/server.hpp"
#include "tests/http/client.hpp"
#include "tests/http/scripted_service.hpp"
#include "tests/http/server_fixture.hpp"

namespace shoal::http::page_test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::Client;
using test::get;
using test::Response;
using test::server_test::Fixture;
using test::server_test::json_of;
using test::server_test::test_options;
using namespace mesh::messages;

constexpr std::size_t kMostBytes = 100'000;
const std::string kBrowser =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
const std::string kEvents = "Accept: text/event-stream\r\n";

HttpOptions with_key(const std::string& key) {
    HttpOptions options = test_options();
    options.api_key = key;
    return options;
}

StatusReply status(const std::string& model) {
    StatusReply reply;
    reply.model = model;
    return reply;
}

}  // namespace

TEST_SUITE("page") {
    TEST_CASE("a browser gets the page, and others hear that Ollama is running") {
        Fixture f;
        const Response page = f.ask(get("/", kBrowser));
        CHECK(page.status == 200);
        CHECK(page.headers.at("content-type") == "text/html; charset=utf-8");
        CHECK(page.body.starts_with("<!doctype html>"));
        CHECK(f.ask(get("/")).body == "Ollama is running");
        CHECK(f.ask(get("/", "Accept: */*\r\n")).body == "Ollama is running");
        CHECK(f.ask(get("/", "Accept: application/json\r\n")).body == "Ollama is running");
        Response head = f.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n" + kBrowser + "\r\n");
        CHECK(head.headers.at("content-length") == std::to_string(page.body.size()));
        CHECK(f.service.started() == 0);
    }

    TEST_CASE("it may load what this device has, and run and show nothing else") {
        Fixture f;
        Response page = f.ask(get("/", kBrowser));
        CHECK(page.headers["content-security-policy"] ==
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
              "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        CHECK(page.headers["referrer-policy"] == "no-referrer");
        CHECK(page.headers["x-content-type-options"] == "nosniff");
        for (const char* foreign :
             {"http:", "https:", "javascript:", "<style", "style=", "src=\"/", "href=\"/"}) {
            CHECK_MESSAGE(page.body.find(foreign) == std::string::npos, foreign);
        }
        CHECK_FALSE(std::regex_search(page.body, std::regex(" on[a-z]+=")));
        CHECK_FALSE(f.ask(get("/")).headers.contains("content-security-policy"));
    }

    TEST_CASE("its files need no key, have the types that browsers insist on, and are small") {
        Fixture f(with_key("a key"));
        CHECK(f.ask(get("/", kBrowser)).status == 200);
        std::size_t bytes = 0;
        std::set<std::string> types;
        for (const page::File& file : page::kFiles) {
            const Response r = f.ask(get("/page/" + std::string(file.name)));
            CHECK(r.status == 200);
            CHECK(r.body == file.text);
            types.insert(r.headers.at("content-type"));
            bytes += r.body.size();
        }
        CHECK(types == std::set<std::string>{"image/svg+xml", "text/css; charset=utf-8",
                                             "text/html; charset=utf-8",
                                             "text/javascript; charset=utf-8"});
        CHECK(bytes > 10'000);
        CHECK(bytes < kMostBytes);
        CHECK(f.ask(get("/v1/cluster")).status == 401);
        CHECK(f.ask(get("/v1/cluster", kEvents)).status == 401);
    }

    TEST_CASE("what is no file of it is not there") {
        Fixture f;
        for (const char* path : {"/page/", "/page/x.js", "/page/../page.css", "/page/PAGE.CSS",
                                 "/page/page.css/", "/page"}) {
            CHECK_MESSAGE(f.ask(get(path)).status == 404, path);
        }
        CHECK(f.ask("POST /page/page.js HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                  .status == 405);
    }
}

TEST_SUITE("watched cluster") {
    TEST_CASE("who accepts events gets the status, again and again, when it is another one") {
        Fixture f;
        Client c = f.client();
        c.send(get("/v1/cluster", kEvents));
        f.service.emit(f.service.next().ticket, status("one"));
        Response head = c.read_head();
        CHECK(head.status == 200);
        CHECK(head.headers["content-type"] == "text/event-stream");
        CHECK(json_of(c.read_event())["model"]["name"] == "one");
        const auto begun = std::chrono::steady_clock::now();
        f.service.emit(f.service.next().ticket, status("one"));
        CHECK(std::chrono::steady_clock::now() - begun > 500ms);
        CHECK(c.silent(200ms));
        f.service.emit(f.service.next().ticket, status("two"));
        CHECK(json_of(c.read_event())["model"]["name"] == "two");
    }

    TEST_CASE("others get it once") {
        Fixture f;
        Client c = f.client();
        c.send(get("/v1/cluster", "Accept: application/json, */*\r\n"));
        f.service.emit(f.service.next().ticket, status("one"));
        CHECK(json::parse(c.read_response().body)["model"]["name"] == "one");
        std::this_thread::sleep_for(1500ms);
        CHECK(f.service.started() == 1);
    }

    TEST_CASE("a HEAD of it is its headers") {
        Fixture f;
        Client c = f.client();
        c.send("HEAD /v1/cluster HTTP/1.1\r\nHost: localhost\r\n" + kEvents + "\r\n");
        f.service.emit(f.service.next().ticket, status("one"));
        CHECK(c.read_head().headers["content-type"] == "text/event-stream");
        std::this_thread::sleep_for(1500ms);
        CHECK(f.service.started() == 1);
    }

    TEST_CASE("a client that leaves is asked for no more") {
        Fixture f;
        Client c = f.client();
        c.send(get("/v1/cluster", kEvents));
        f.service.emit(f.service.next().ticket, status("one"));
        c.read_head();
        const auto waiting = f.service.next();
        c.close();
        CHECK(f.service.wait_cancelled(waiting.ticket));
        std::this_thread::sleep_for(1500ms);
        CHECK(f.service.started() == 2);
    }

    TEST_CASE("a client that does not read gets no newer ones to its old") {
        Fixture f;
        Client c = f.client();
        c.send(get("/v1/cluster", kEvents));
        const std::string large(16u << 20, 'x');
        f.service.emit(f.service.next().ticket, status(large));
        std::this_thread::sleep_for(1500ms);
        CHECK(f.service.started() == 1);
        c.read_head();
        CHECK(json_of(c.read_event())["model"]["name"] == large);
        f.service.emit(f.service.next().ticket, status("two"));
        CHECK(json_of(c.read_event())["model"]["name"] == "two");
    }

    TEST_CASE("when it cannot be told, the answer says so, and so does the stream") {
        Fixture f;
        Client c = f.client();
        c.send(get("/v1/cluster", kEvents));
        f.service.emit(f.service.next().ticket, Failed{ErrorCode::unavailable, "no root"});
        CHECK(c.read_response().status == 503);
        c.send(get("/v1/cluster", kEvents));
        f.service.emit(f.service.next().ticket, status("one"));
        c.read_head();
        c.read_event();
        f.service.emit(f.service.next().ticket, Failed{ErrorCode::unavailable, "no root"});
        CHECK(json_of(c.read_event())["error"]["message"] == "no root");
        CHECK(c.read_chunk().empty());
        std::this_thread::sleep_for(1500ms);
        CHECK(f.service.started() == 3);
    }

    TEST_CASE("the server stops while it is watched") {
        test::ScriptedService service;
        std::unique_ptr<Client> client;
        {
            HttpServer server(test_options(), service);
            client = std::make_unique<Client>(server.port());
            client->send(get("/v1/cluster", kEvents));
            service.emit(service.next().ticket, status("one"));
            client->read_head();
            client->read_event();
        }
        CHECK_THROWS(client->read_event());
    }
}

}  // namespace shoal::http::page_test
