// The server over real sockets on loopback, with a scripted service behind it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "daemon/http/server.hpp"
#include "tests/http/client.hpp"
#include "tests/http/scripted_service.hpp"

namespace shoal::http::test::server_test {

using namespace std::chrono_literals;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

inline HttpOptions test_options() {
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

inline std::string data_of(const std::string& event) {
    REQUIRE(event.starts_with("data: "));
    return event.substr(6);
}

inline json json_of(const std::string& event) {
    return json::parse(data_of(event));
}

inline std::string error_code(const Response& response) {
    CHECK(response.headers.at("content-type") == "application/json");
    const json error = json::parse(response.body).at("error");
    CHECK(error.at("message").is_string());
    CHECK(error.at("type").is_string());
    CHECK(error.contains("param"));
    return error.at("code");
}

inline Done done(StopReason reason = StopReason::end) {
    Done d;
    d.reason = reason;
    d.text = std::string("!");  // GCC 12 warns wrongly of short literals (PR 105651).
    d.prompt_tokens = 3;
    d.generated_tokens = 2;
    d.model = "tiny-q4";
    d.devices = 2;
    return d;
}

inline json usage(int prompt, int completion) {
    return {{"prompt_tokens", prompt},
            {"completion_tokens", completion},
            {"total_tokens", prompt + completion},
            {"prompt_tokens_details", {{"cached_tokens", 0}}},
            {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

inline const std::string kPrompt = R"({"prompt":"Hi"})";
inline const std::string kStream = R"({"prompt":"Hi","stream":true,"max_tokens":-1})";

}  // namespace shoal::http::test::server_test
