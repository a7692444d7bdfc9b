#include <doctest/doctest.h>

#include <random>
#include <string>

#include "daemon/grammar/token_mask.hpp"

namespace token_mask_test {

using shoal::grammar::TokenMask;

TokenMask random_mask(std::mt19937& random, std::size_t tokens, std::size_t run) {
    TokenMask mask(tokens);
    bool allowed = false;
    for (std::size_t token = 0; token < tokens; ++token) {
        if (random() % run == 0) allowed = !allowed;
        if (allowed) mask.allow(token);
    }
    return mask;
}

TEST_CASE("token mask: what is decoded is what was encoded, from the only form of it") {
    std::mt19937 random(1);
    for (int round = 0; round < 400; ++round) {
        const std::size_t tokens = random() % 700;
        const TokenMask mask = random_mask(random, tokens, 1 + random() % 60);
        const std::string bytes = mask.encode();
        CHECK(bytes.size() <= 2 + (tokens + 7) / 8);
        const auto again = TokenMask::decode(bytes, tokens);
        REQUIRE(again.has_value());
        CHECK(*again == mask);
        CHECK(again->encode() == bytes);
        std::size_t count = 0;
        for (std::size_t token = 0; token < tokens; ++token) count += mask[token] ? 1 : 0;
        CHECK(mask.count() == count);
    }
}

TEST_CASE("token mask: few allowed and few refused are short, whatever the vocabulary") {
    TokenMask few(128'000), most(128'000);
    few.allow(5);
    few.allow(100'000);
    for (std::size_t token = 0; token < 128'000; ++token) {
        if (token != 77'777) most.allow(token);
    }
    CHECK(few.encode().size() < 20);
    CHECK(most.encode().size() < 20);
    CHECK(TokenMask(128'000).encode().size() == 4);
}

TEST_CASE("token mask: bytes that are no form of a mask are refused") {
    std::mt19937 random(2);
    const TokenMask sparse = random_mask(random, 300, 40), dense = random_mask(random, 300, 2);
    for (const std::string& bytes : {sparse.encode(), dense.encode()}) {
        CHECK_FALSE(TokenMask::decode(bytes, 280).has_value());
        CHECK_FALSE(TokenMask::decode(bytes, 301 + 8).has_value());
        for (std::size_t n = 0; n < bytes.size(); ++n) {
            CHECK_FALSE(TokenMask::decode(bytes.substr(0, n), 300).has_value());
        }
        CHECK_FALSE(TokenMask::decode(bytes + '\x01', 300).has_value());
    }
    using namespace std::string_literals;
    CHECK(TokenMask::decode("\x01\x00\x05"s, 5).has_value());
    CHECK_FALSE(TokenMask::decode("\x01\x80\x00\x05"s, 5).has_value());  // a longer zero
    CHECK_FALSE(TokenMask::decode("\x01\x02\x00\x03"s, 5).has_value());  // an empty run
    CHECK_FALSE(TokenMask::decode("\x01\x06"s, 5).has_value());          // too long
    CHECK_FALSE(TokenMask::decode("\x01\xFF\xFF\xFF\xFF\x7F"s, 5).has_value());
    CHECK_FALSE(TokenMask::decode("\x02\x05"s, 5).has_value());  // no such form
    CHECK_FALSE(TokenMask::decode("\x00\xFF"s, 5).has_value());  // bits behind the end
    CHECK(TokenMask::decode("\x00\x1F"s, 5)->count() == 5);
}

TEST_CASE("token mask: a slice has the tokens of its range, counted from 0") {
    std::mt19937 random(3);
    const TokenMask mask = random_mask(random, 500, 3);
    for (int round = 0; round < 300; ++round) {
        const std::size_t begin = random() % 501, end = begin + random() % (501 - begin);
        const TokenMask part = mask.slice(begin, end);
        REQUIRE(part.size() == end - begin);
        TokenMask expected(end - begin);
        for (std::size_t token = begin; token < end; ++token) {
            if (mask[token]) expected.allow(token - begin);
        }
        CHECK(part == expected);
    }
}

}  // namespace token_mask_test
