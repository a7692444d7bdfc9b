#include "daemon/engine/text_stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/daemon/support.hpp"

namespace text_stream_test {

using shoal::TextStream;
using namespace shoal::tests;

namespace {

const shoal::model::Tokenizer& tokenizer() {
    static const auto model = open_model(tiny_model());
    return *model->tokenizer;
}

// One token per byte, so that every border within a stop string occurs.
std::vector<shoal::model::TokenId> bytes_of(const std::string& text) {
    std::vector<shoal::model::TokenId> ids;
    for (const char c : text) {
        for (shoal::model::TokenId id = 0; id < static_cast<int>(tokenizer().size()); ++id) {
            if (tokenizer().piece(id) == std::string_view(&c, 1)) {
                ids.push_back(id);
                break;
            }
        }
    }
    REQUIRE(ids.size() == text.size());
    return ids;
}

// What a stream shows of a text, token by token.
std::vector<std::string> shown(const std::string& text, std::vector<std::string> stops) {
    TextStream stream(tokenizer(), std::move(stops));
    std::vector<std::string> out;
    for (const auto id : bytes_of(text)) {
        out.push_back(stream.push(id));
        if (stream.stopped()) break;
    }
    out.push_back(stream.finish());
    return out;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) out += part;
    return out;
}

bool whole_characters(const std::string& text) {
    std::size_t expected = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0) == 0x80) {
            if (expected-- == 0) return false;
        } else {
            if (expected != 0) return false;
            expected = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
        }
    }
    return expected == 0;
}

}  // namespace

TEST_SUITE("TextStream") {
    TEST_CASE("text ends before a stop string that spans tokens") {
        CHECK(joined(shown("one STOP two", {"STOP"})) == "one ");
        CHECK(joined(shown("STOP", {"STOP"})).empty());
        CHECK(joined(shown("one STO two", {"STOP"})) == "one STO two");
        CHECK(joined(shown("SSTOP", {"STOP"})) == "S");
        CHECK(joined(shown("STSTOP", {"STOP"})) == "ST");
    }

    TEST_CASE("the beginning of a stop string is held back until it is none") {
        CHECK(shown("aSTx", {"STOP"}) == std::vector<std::string>{"a", "", "", "STx", ""});
    }

    TEST_CASE("held-back text is released when the generation ends") {
        CHECK(shown("aST", {"STOP"}) == std::vector<std::string>{"a", "", "", "ST"});
    }

    TEST_CASE("of overlapping stop strings the one that is complete first ends the text") {
        CHECK(joined(shown("xabcd", {"abcd", "bc"})) == "xa");
        CHECK(joined(shown("xabcd", {"bcd", "abc"})) == "x");
        CHECK(joined(shown("aab", {"ab", "aab"})).empty());
        CHECK(joined(shown("x\n\n\n", {"\n\n\n", "\n\n"})) == "x");
    }

    TEST_CASE("nothing follows a stop string") {
        TextStream stream(tokenizer(), {"b"});
        const auto ids = bytes_of("abc");
        CHECK(stream.push(ids[0]) == "a");
        CHECK_FALSE(stream.stopped());
        CHECK(stream.push(ids[1]).empty());
        CHECK(stream.stopped());
        CHECK(stream.finish().empty());
    }

    TEST_CASE("an unfinished character at the end becomes a replacement character") {
        CHECK(joined(shown("a\xC3", {})) == "a\xEF\xBF\xBD");
        CHECK(joined(shown("a\xC3", {"a"})).empty());
    }

    TEST_CASE("characters are never split, whatever bytes a stop string has") {
        const std::string text = "na\xC3\xAFve \xE2\x82\xAC\xF0\x9F\x90\x9F fin";
        for (const std::string stop :
             {"\xAF", "\xC3", "\x82", "\x90\x9F", "\xE2", "\xF0\x9F", "\xE2\x82\xAC", "zz"}) {
            CAPTURE(stop);
            for (const std::string& part : shown(text, {stop})) CHECK(whole_characters(part));
        }
        CHECK(joined(shown(text, {"\xE2\x82\xAC"})) == "na\xC3\xAFve ");
    }

    TEST_CASE("any tokens, any stop strings: the text is the definition's, and so is a replay's") {
        std::mt19937 random(20240517);
        const auto upto = [&](std::size_t n) {
            return std::uniform_int_distribution<std::size_t>(0, n)(random);
        };
        for (int round = 0; round < 400; ++round) {
            CAPTURE(round);
            // Few different tokens, so that stop strings occur and overlap.
            std::vector<shoal::model::TokenId> alphabet;
            for (int i = 0; i < 6; ++i) {
                alphabet.push_back(static_cast<int>(upto(tokenizer().size() - 1)));
            }
            std::vector<shoal::model::TokenId> ids;
            for (std::size_t i = upto(40); i-- > 0;) ids.push_back(alphabet[upto(5)]);

            // texts[n]: what n tokens say.
            std::vector<std::string> texts{""};
            shoal::model::Detokenizer detokenizer(tokenizer(), false);
            for (const auto id : ids) texts.push_back(texts.back() + detokenizer.push(id));
            const std::string rest = detokenizer.flush();
            std::vector<std::string> stops;
            for (std::size_t i = upto(3); i-- > 0;) {
                std::string stop = texts.back().substr(upto(texts.back().size()), 1 + upto(4));
                if (upto(3) == 0) stop += 'q';
                if (!stop.empty() && whole_characters(stop)) stops.push_back(stop);
            }

            std::string expected = texts.back() + rest;
            std::size_t used = ids.size();
            bool stopped = false;
            for (std::size_t n = 1; n <= ids.size() && !stopped; ++n) {
                std::size_t first = std::string::npos;
                for (const auto& stop : stops) first = std::min(first, texts[n].find(stop));
                if (first == std::string::npos) continue;
                stopped = true;
                expected = texts[n].substr(0, first);
                used = n;
            }

            TextStream stream(tokenizer(), stops);
            std::vector<std::string> parts;
            std::string so_far;
            for (std::size_t n = 0; n < used; ++n) {
                REQUIRE_FALSE(stream.stopped());
                parts.push_back(stream.push(ids[n]));
                so_far += parts.back();
                CHECK(expected.starts_with(so_far));
                CHECK(whole_characters(so_far));
            }
            CHECK(stream.stopped() == stopped);
            CHECK(so_far + stream.finish() == expected);

            const std::size_t split = upto(used);
            TextStream replay(tokenizer(), stops);
            for (std::size_t n = 0; n < used; ++n) {
                const std::string part = replay.push(ids[n]);
                if (n >= split) CHECK(part == parts[n]);
            }
            CHECK(replay.stopped() == stopped);
        }
    }
}

}  // namespace text_stream_test
