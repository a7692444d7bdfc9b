#include <doctest/doctest.h>

#include "config/keys.hpp"
#include "config/syntax.hpp"

namespace values_test {

using namespace shoal::config;

TEST_SUITE_BEGIN("config/values");

TEST_CASE("sizes are read with binary and decimal units") {
    CHECK(parse_bytes("0") == 0);
    CHECK(parse_bytes("4096") == 4096);
    CHECK(parse_bytes("12 B") == 12);
    CHECK(parse_bytes("512MiB") == std::int64_t{512} << 20);
    CHECK(parse_bytes(" 8 GiB ") == std::int64_t{8} << 30);
    CHECK(parse_bytes("8GB") == 8'000'000'000);
    CHECK(parse_bytes("3kB") == 3000);
    CHECK(parse_bytes("1TiB") == std::int64_t{1} << 40);
}

TEST_CASE("what is no size is refused, and so is one that overflows") {
    for (const char* text : {"", " ", "GiB", "8 gigs", "-1", "1.5GiB", "8GiB!", "0x10", "+4",
                             "9223372036854775808", "9000000000TiB"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_bytes(text));
    }
}

TEST_CASE("loopback addresses are told from others") {
    for (const char* text : {"127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"}) {
        CAPTURE(text);
        CHECK(is_loopback(text));
    }
    for (const char* text :
         {"0.0.0.0", "::", "192.168.1.2", "128.0.0.1", "fe80::1", "", "localhost.evil.example",
          "127.0.0.1.evil.example", "::ffff:10.0.0.1"}) {
        CAPTURE(text);
        CHECK_FALSE(is_loopback(text));
    }
}

TEST_CASE("shares are a device and a part") {
    CHECK(parse_share("pi 4=0.25")->device == "pi 4");
    CHECK(parse_share("pi 4=0.25")->part == 0.25);
    CHECK(parse_share("a=0")->part == 0);
    CHECK(parse_share("a=1")->part == 1);
    for (const char* text : {"", "=", "a", "a=", "=0.5", "a=1.5", "a=-0.1", "a=nan", "a=inf",
                             "a=0.5x", "a =0.5", "a= 0.5"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_share(text));
        CHECK(check_share(text)->find("name=0.25") != std::string::npos);
    }
    CHECK(check_device(""));
    CHECK_FALSE(check_device("pi-5"));
}

TEST_CASE("peers are a host or an address, with or without a port") {
    for (const char* text : {"pi4", "pi4.local:47474", "10.0.0.7", "10.0.0.7:1", "fe80::1",
                             "[fe80::1]:65535", "[::1]", "a_b-c.d"}) {
        CAPTURE(text);
        CHECK_FALSE(check_peer(text));
    }
    for (const char* text : {"", ":5", "pi4:", "pi4:0", "pi4:65536", "pi 4", "[::1", "[pi4]:5",
                             "[::1]5", "[::1]:x", "pi4:47:5", "-x", "http://pi4", "pi4/path"}) {
        CAPTURE(text);
        const auto wrong = check_peer(text);
        REQUIRE(wrong);
        CHECK(wrong->find("[IPv6 address]:port") != std::string::npos);
    }
}

TEST_CASE("addresses and names are checked by what they are for") {
    CHECK_FALSE(check_listen("0.0.0.0"));
    CHECK_FALSE(check_listen("::"));
    CHECK(check_listen("*"));
    CHECK(check_listen("example.org"));
    CHECK_FALSE(check_bind("*"));
    CHECK(check_bind("eth0"));
    CHECK_FALSE(check_bind("2001:db8::7"));
    CHECK(check_bind("[2001:db8::7]"));
    const auto scoped = check_bind("fe80::1%eth0");
    REQUIRE(scoped);
    CHECK(scoped->find("cluster.interfaces") != std::string::npos);
    CHECK_FALSE(check_interface("enp3s0.5"));
    CHECK(check_interface("a-name-that-is-too-long"));
    CHECK(check_interface("a/b"));
    CHECK_FALSE(check_name("kitchen pi"));
    CHECK(check_name(" kitchen"));
    CHECK(check_name("a\nb"));
    CHECK_FALSE(check_group(""));
    CHECK(check_group("-x"));
    CHECK(check_host(std::string(254, 'a')));
    CHECK(check_path(std::string_view("a\0b", 3)));
}

TEST_CASE("an api_key is long and visible, and a message never quotes it") {
    CHECK_FALSE(check_api_key(""));
    CHECK_FALSE(check_api_key("0123456789abcdef"));
    for (const std::string key :
         {"short-secret", "0123456789 abcdef", "0123456789abcdef\xc3\xa9"}) {
        const auto wrong = check_api_key(key);
        REQUIRE(wrong);
        CHECK(wrong->find(key) == std::string::npos);
    }
}

TEST_CASE("text from outside is shown on one line and cut") {
    CHECK(shown("a\nb\x1b[0m") == "\"a?b?[0m\"");
    CHECK(shown(std::string(61, 'x')) == "\"" + std::string(60, 'x') + "...\"");
}

TEST_CASE("lists in texts are separated by commas") {
    const Key& peers = *find_key("cluster.peers");
    using List = std::vector<std::string>;
    CHECK(std::get<List>(*parse_text(peers, "")).empty());
    CHECK(std::get<List>(*parse_text(peers, " a , b:5,c")) == List{"a", "b:5", "c"});
    CHECK(problem(peers, *parse_text(peers, "a,,b")) == "has an empty entry");
    CHECK(problem(peers, List(257, "a"))->find("257 entries") != std::string::npos);
}

TEST_CASE("booleans in texts have the usual spellings and no others") {
    const Key& key = *find_key("http.enabled");
    for (const char* text : {"true", "1", "yes", "on"})
        CHECK(std::get<bool>(*parse_text(key, text)));
    for (const char* text : {"false", "0", "no", "off"}) {
        CHECK_FALSE(std::get<bool>(*parse_text(key, text)));
    }
    for (const char* text : {"", "TRUE", "2", "enabled"}) CHECK_FALSE(parse_text(key, text));
}

TEST_CASE("origins are what a browser sends") {
    for (const char* text : {"https://chat.example", "http://localhost:3000", "http://[::1]:80",
                             "chrome-extension://abcdef", "moz-extension://a-b-c"}) {
        CHECK_FALSE(check_origin(text));
    }
    for (const char* text : {"", "*", "null", "chat.example", "https://", "://a", "https://a/b",
                             "https://a b", "https://*"}) {
        const auto wrong = check_origin(text);
        REQUIRE(wrong.has_value());
        CHECK(wrong->find("is not an origin: write") != std::string::npos);
    }
}

TEST_SUITE_END();

}  // namespace values_test
