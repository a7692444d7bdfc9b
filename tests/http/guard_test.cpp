#include "daemon/http/guard.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::http::guard_test {
namespace {

Guard guard(std::string listen = "127.0.0.1", std::string key = {},
            std::vector<std::string> hosts = {}) {
    HttpOptions options;
    options.listen = std::move(listen);
    options.api_key = std::move(key);
    options.allowed_hosts = std::move(hosts);
    return Guard(options);
}

bool host_ok(const Guard& g, std::optional<std::string_view> host,
             std::string_view local = "127.0.0.1") {
    return !g.check_host(host, local);
}

}  // namespace

TEST_SUITE("guard") {
    TEST_CASE("hosts are this device's names with any port") {
        const Guard g = guard("192.168.1.5", "key", {"Kitchen.local", "fd00::7"});
        for (const char* host :
             {"localhost", "LocalHost:80", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:8090",
              "192.168.1.5:8090", "kitchen.local", "KITCHEN.LOCAL:1", "[fd00::7]:2"}) {
            INFO(std::string(host));
            CHECK(host_ok(g, host));
        }
        for (const char* host : {"",
                                 "evil.example",
                                 "localhost.evil.example",
                                 "evil.localhost",
                                 "localhost.",
                                 "127.0.0.1.evil.example",
                                 "127.0.0.2",
                                 "localhost:",
                                 "localhost:80x",
                                 "localhost:123456",
                                 "localhost:80:80",
                                 "[::1",
                                 "[::1]x",
                                 "::1",
                                 ":80",
                                 "user@localhost",
                                 "localhost/",
                                 " localhost",
                                 "[::2]",
                                 "localhost:-1"}) {
            INFO(std::string(host));
            const bool port_only_empty = std::string_view(host) == "localhost:";
            CHECK(host_ok(g, host) == port_only_empty);  // RFC 3986 allows an empty port.
        }
        CHECK(g.check_host(std::nullopt, "127.0.0.1")->status == 400);
        CHECK(g.check_host("evil.example", "127.0.0.1")->status == 403);
    }

    TEST_CASE("the address that the connection came to is a host") {
        const Guard g = guard("0.0.0.0", "key");
        CHECK(host_ok(g, "10.1.2.3:8090", "10.1.2.3"));
        CHECK_FALSE(host_ok(g, "10.1.2.4:8090", "10.1.2.3"));
        CHECK(host_ok(g, "[fe80::1]:8090", "fe80::1"));
        CHECK_FALSE(host_ok(g, "", ""));
    }

    TEST_CASE("only the own origin may ask") {
        const Guard g = guard();
        CHECK_FALSE(g.check_origin(std::nullopt, "localhost:8090"));
        CHECK_FALSE(g.check_origin("http://localhost:8090", "localhost:8090"));
        CHECK_FALSE(g.check_origin("https://LOCALHOST:8090", "localhost:8090"));
        for (const char* origin : {"null", "", "http://", "http://evil.example", "file://",
                                   "http://localhost:3000", "http://localhost", "localhost:8090",
                                   "http://localhost:8090.evil.example", "ftp://localhost:8090"}) {
            INFO(std::string(origin));
            const auto error = g.check_origin(origin, "localhost:8090");
            REQUIRE(error.has_value());
            CHECK(error->status == 403);
        }
    }

    TEST_CASE("a key is asked for when there is one") {
        CHECK_FALSE(guard().check_key(std::nullopt));
        const Guard g = guard("127.0.0.1", "correct horse");
        CHECK_FALSE(g.check_key("Bearer correct horse"));
        CHECK_FALSE(g.check_key("bearer correct horse"));
        CHECK_FALSE(g.check_key(std::nullopt, "correct horse"));
        CHECK(g.check_key(std::nullopt, "correct horsE")->status == 401);
        CHECK(g.check_key("Bearer wrong", "correct horse")->status == 401);
        for (const char* value :
             {"", "Bearer", "Bearer ", "Bearer correct", "Bearer correct horsE",
              "Bearer correct horse ", "Basic correct horse", "correct horse"}) {
            INFO(std::string(value));
            const auto error = g.check_key(value);
            REQUIRE(error.has_value());
            CHECK(error->status == 401);
            CHECK(error->message.find("correct") == std::string::npos);
        }
        CHECK(g.check_key(std::nullopt)->status == 401);
    }

    TEST_CASE("loopback addresses are told from others") {
        CHECK(is_loopback("127.0.0.1"));
        CHECK(is_loopback("127.8.9.1"));
        CHECK(is_loopback("::1"));
        CHECK_FALSE(is_loopback("0.0.0.0"));
        CHECK_FALSE(is_loopback("::"));
        CHECK_FALSE(is_loopback("192.168.1.1"));
        CHECK_THROWS_AS(is_loopback("localhost"), HttpError);
        CHECK_THROWS_AS(is_loopback(""), HttpError);
    }
}

}  // namespace shoal::http::guard_test
