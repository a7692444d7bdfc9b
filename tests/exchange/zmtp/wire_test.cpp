#include "mesh/exchange/zmtp/wire.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/exchange/zmtp/bytes.hpp"

namespace shoal::mesh::testing::wire_test {

using namespace exchange::zmtp;

namespace {

using Data = std::vector<std::byte>;

Data greeting_of(const Greeting& greeting) {
    const auto encoded = encode(greeting);
    return {encoded.begin(), encoded.end()};
}

}  // namespace

TEST_SUITE_BEGIN("wire");

TEST_CASE("a greeting is 64 octets: signature, version, mechanism, role") {
    Data expected = from_hex("ff00000000000000017f0301");
    append(expected, bytes("SHOAL"));
    expected.resize(32);
    expected.push_back(std::byte{1});
    expected.resize(64);
    CHECK(greeting_of({1, "SHOAL", true}) == expected);
}

TEST_CASE("a greeting comes back as it was") {
    for (const std::string mechanism : {"NULL", "SHOAL", "A", "", "ABCDEFGHIJKLMNOPQRST"}) {
        for (const bool as_server : {false, true}) {
            for (const std::uint8_t minor : {std::uint8_t{0}, std::uint8_t{1}}) {
                CAPTURE(mechanism);
                std::string why;
                const auto got = decode_greeting(greeting_of({minor, mechanism, as_server}), why);
                REQUIRE(got);
                CHECK(got->minor == minor);
                CHECK(got->mechanism == mechanism);
                CHECK(got->as_server == as_server);
                CHECK(why.empty());
            }
        }
    }
}

TEST_CASE("a later version is answered as the one that we speak") {
    Data later = greeting_of({1, "NULL", false});
    later[11] = std::byte{200};
    std::string why;
    CHECK(decode_greeting(later, why)->minor == 1);
    later[10] = std::byte{4};
    later[11] = std::byte{0};
    CHECK(decode_greeting(later, why)->minor == 1);
}

TEST_CASE("of a greeting that goes on, each beginning is good so far") {
    const Data whole = greeting_of({1, "NULL", false});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        std::string why;
        CHECK(decode_greeting(std::span(whole).first(size), why));
        CHECK(why.empty());
    }
}

TEST_CASE("what cannot become a greeting is refused at the octet that says so") {
    const auto refused_at = [](const Data& whole) {
        for (std::size_t size = 0; size <= whole.size(); ++size) {
            std::string why;
            if (decode_greeting(std::span(whole).first(size), why)) continue;
            CHECK_FALSE(why.empty());
            return size;
        }
        return std::size_t{0};
    };
    CHECK(refused_at(bytes("GET / HTTP/1.1\r\n\r\n")) == 1);
    Data changed = greeting_of({1, "NULL", false});
    CHECK(refused_at(changed) == 0);
    changed[9] = std::byte{0};
    CHECK(refused_at(changed) == 10);
    changed = greeting_of({1, "NULL", false});
    for (const int version : {0, 1, 2}) {
        changed[10] = static_cast<std::byte>(version);
        CHECK(refused_at(changed) == 11);
    }
}

TEST_CASE("a message's head has one octet of length, or eight") {
    for (const std::size_t size : {0u, 1u, 254u, 255u, 256u, 257u, 65535u, 65536u, 1u << 20}) {
        CAPTURE(size);
        const Data body(size, std::byte{9});
        Data whole;
        append_message(whole, body);
        Head head;
        CHECK(decode_head(whole, head) == HeadState::valid);
        CHECK_FALSE(head.command);
        CHECK(head.length == size);
        CHECK(head.size == (size > 255 ? 9 : 2));
        CHECK(whole.size() == head.size + size);
        for (std::size_t part = 0; part < head.size; ++part) {
            CHECK(decode_head(std::span(whole).first(part), head) == HeadState::incomplete);
        }
        // The same in front of a body that is there already.
        std::array<std::byte, kMaxHeadBytes> room{};
        const std::size_t used = put_message_head(room, size);
        CHECK(Data(room.end() - used, room.end()) == Data(whole.begin(), whole.begin() + used));
    }
    std::array<std::byte, kMaxHeadBytes> room{};
    CHECK(put_message_head(room, 0x0123456789abcdef) == 9);
    CHECK(Data(room.begin(), room.end()) == from_hex("020123456789abcdef"));
}

TEST_CASE("long heads of short bodies are understood") {
    Head head;
    CHECK(decode_head(from_hex("020000000000000003"), head) == HeadState::valid);
    CHECK(head.length == 3);
    CHECK(decode_head(from_hex("060000000000000003"), head) == HeadState::valid);
    CHECK(head.command);
    CHECK(decode_head(from_hex("02ffffffffffffffff"), head) == HeadState::valid);
    CHECK(head.length == ~std::uint64_t{0});
}

TEST_CASE("other flags than those of long frames and commands are malformed") {
    for (unsigned flags = 0; flags < 256; ++flags) {
        CAPTURE(flags);
        Head head;
        Data bytes(9);
        bytes[0] = static_cast<std::byte>(flags);
        const bool known = flags == 0 || flags == 2 || flags == 4 || flags == 6;
        CHECK((decode_head(bytes, head) == HeadState::malformed) != known);
        // One octet is enough to know.
        CHECK((decode_head(std::span(bytes).first(1), head) == HeadState::malformed) != known);
    }
}

TEST_CASE("a command comes back as it was") {
    const Data data = bytes("what belongs to it");
    for (const std::string& name : {std::string("PING"), std::string("A"), std::string(255, 'N')}) {
        for (const std::size_t size : {0u, 1u, 18u}) {
            Data whole;
            append_command(whole, name, std::span(data).first(size));
            Head head;
            REQUIRE(decode_head(whole, head) == HeadState::valid);
            CHECK(head.command);
            REQUIRE(whole.size() == head.size + head.length);
            const auto command = decode_command(std::span(whole).subspan(head.size));
            REQUIRE(command);
            CHECK(command->name == name);
            CHECK(text_of(command->data) == text_of(std::span(data).first(size)));
        }
    }
}

TEST_CASE("a body that ends within a command's name is none") {
    Data whole;
    append_command(whole, "SUBSCRIBE", {});
    const auto body = std::span(whole).subspan(2);
    for (std::size_t size = 0; size < body.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(decode_command(body.first(size)));
    }
    CHECK(decode_command(body));
    CHECK_FALSE(decode_command(from_hex("00")));
    CHECK_FALSE(decode_command(from_hex("0041")));
}

TEST_CASE("properties come back as they were, in their order") {
    Data data;
    append_property(data, "Socket-Type", "XPUB");
    append_property(data, "Identity", "");
    append_property(data, std::string(255, 'x'), std::string(1000, 'y'));
    const auto got = decode_properties(data);
    REQUIRE(got);
    REQUIRE(got->size() == 3);
    CHECK((*got)[0].name == "Socket-Type");
    CHECK(text_of((*got)[0].value) == "XPUB");
    CHECK((*got)[1].name == "Identity");
    CHECK((*got)[1].value.empty());
    CHECK((*got)[2].name == std::string(255, 'x'));
    CHECK(text_of((*got)[2].value) == std::string(1000, 'y'));
    CHECK(decode_properties({})->empty());
}

TEST_CASE("properties that end early are malformed") {
    Data data;
    append_property(data, "Socket-Type", "SUB");
    const std::size_t first = data.size();
    append_property(data, "Identity", "id");
    for (std::size_t size = 1; size < data.size(); ++size) {
        CAPTURE(size);
        const auto got = decode_properties(std::span(data).first(size));
        CHECK(got.has_value() == (size == first));
    }
}

TEST_CASE("properties without a name, or longer than what is there, are malformed") {
    CHECK_FALSE(decode_properties(from_hex("00")));
    CHECK_FALSE(decode_properties(from_hex("0000000000")));
    CHECK_FALSE(decode_properties(from_hex("0141ffffffff")));
    CHECK_FALSE(decode_properties(from_hex("01410000000142ff")));
    CHECK(decode_properties(from_hex("01410000000142")));
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::wire_test
