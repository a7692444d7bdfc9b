#include "daemon/model/tokenizer/utf8.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "daemon/model/tokenizer/byte_alphabet.hpp"

namespace shoal::model::utf8_test {
namespace {

using Kind = Utf8Step::Kind;

struct Case {
    std::string_view bytes;
    unsigned size;
    Kind kind;
};

TEST_SUITE("utf8") {
    TEST_CASE("a step takes a character or the maximal part of a broken one") {
        const Case cases[] = {
            {"a", 1, Kind::valid},
            {std::string_view("\0", 1), 1, Kind::valid},
            {"\xC3\xA9x", 2, Kind::valid},
            {"\xE4\xBD\xA0x", 3, Kind::valid},
            {"\xF0\x9F\x98\x81x", 4, Kind::valid},
            {"\xF4\x8F\xBF\xBF", 4, Kind::valid},
            {"\x80", 1, Kind::invalid},              // a continuation alone
            {"\xC0\x80", 1, Kind::invalid},          // overlong
            {"\xC1\xBF", 1, Kind::invalid},          // overlong
            {"\xE0\x9F\xBF", 1, Kind::invalid},      // overlong
            {"\xF0\x8F\xBF\xBF", 1, Kind::invalid},  // overlong
            {"\xED\xA0\x80", 1, Kind::invalid},      // a surrogate
            {"\xF4\x90\x80\x80", 1, Kind::invalid},  // beyond U+10FFFF
            {"\xF5\x80\x80\x80", 1, Kind::invalid},
            {"\xFF", 1, Kind::invalid},
            {"\xC3x", 1, Kind::invalid},
            {"\xE4\xBDx", 2, Kind::invalid},
            {"\xF0\x9F\x98x", 3, Kind::invalid},
            {"\xC3", 1, Kind::incomplete},
            {"\xE4\xBD", 2, Kind::incomplete},
            {"\xF0\x9F\x98", 3, Kind::incomplete},
        };
        for (const Case& c : cases) {
            CAPTURE(std::string(c.bytes));
            const Utf8Step step = utf8_step(c.bytes);
            CHECK(step.size == c.size);
            CHECK(step.kind == c.kind);
        }
    }

    TEST_CASE("the valid prefix ends at the first byte that is no UTF-8") {
        CHECK(valid_utf8_prefix("") == 0);
        CHECK(valid_utf8_prefix("h\xC3\xA9llo") == 6);
        CHECK(valid_utf8_prefix("h\xC3llo") == 1);
        CHECK(valid_utf8_prefix("ab\xE4\xBD") == 2);
    }
}

TEST_SUITE("byte alphabet") {
    TEST_CASE("every byte has a letter of its own that leads back to it") {
        std::set<std::string_view> letters;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const std::string_view letter = byte_to_letter(static_cast<unsigned char>(byte));
            letters.insert(letter);
            CHECK(valid_utf8_prefix(letter) == letter.size());
            CHECK(letters_to_bytes(letter) == std::string(1, static_cast<char>(byte)));
        }
        CHECK(letters.size() == 256);
    }

    TEST_CASE("the letters are GPT-2's") {
        CHECK(byte_to_letter(' ') == "Ġ");
        CHECK(byte_to_letter('\n') == "Ċ");
        CHECK(byte_to_letter('\t') == "ĉ");
        CHECK(byte_to_letter('a') == "a");
        CHECK(byte_to_letter(0xE4) == "ä");
        CHECK(byte_to_letter(0xAD) == "Ń");
        CHECK(letters_to_bytes("Ġä½ł") == " 你");
    }

    TEST_CASE("text with other characters spells no bytes") {
        for (const char* text : {"a b", "▁the", "ń", "\xC4", "\xC4z", "<｜end｜>", "\x80"}) {
            CAPTURE(text);
            CHECK(letters_to_bytes(text) == std::nullopt);
        }
    }
}

}  // namespace
}  // namespace shoal::model::utf8_test
