#include <doctest/doctest.h>

#include <random>
#include <string>

#include "daemon/grammar/code_points.hpp"

namespace code_points_test {

using namespace shoal::grammar;

bool accepts(const std::vector<ByteSequence>& sequences, std::string_view text) {
    int found = 0;
    for (const ByteSequence& sequence : sequences) {
        bool fits = sequence.length == text.size();
        for (std::size_t i = 0; fits && i < text.size(); ++i) {
            const auto byte = static_cast<std::uint8_t>(text[i]);
            fits = sequence.bytes[i].first <= byte && byte <= sequence.bytes[i].last;
        }
        found += fits ? 1 : 0;
    }
    CHECK(found <= 1);
    return found == 1;
}

TEST_CASE("code points: the byte sequences of a set are the UTF-8 of its members, once") {
    std::mt19937 random(1);
    const auto any = [&] {
        const char32_t limits[] = {0x90, 0x900, 0x11000, 0x110000};
        return static_cast<char32_t>(random() % limits[random() % 4]);
    };
    for (int round = 0; round < 60; ++round) {
        std::vector<CodePointRange> ranges;
        for (auto i = random() % 4; i < 4; ++i) {
            const char32_t a = any(), b = any();
            ranges.push_back({std::min(a, b), std::max(a, b)});
        }
        const CodePointSet set(ranges), others = set.complement();
        const auto sequences = utf8_sequences(set);
        for (int i = 0; i < 200; ++i) {
            // At the ends of ranges is where it goes wrong.
            char32_t c = any();
            if (i < 20)
                c = (i % 2 ? ranges[i % ranges.size()].first : ranges[i % ranges.size()].last + 1);
            if (c > kLastCodePoint || (c >= 0xD800 && c <= 0xDFFF)) continue;
            std::string text;
            append_utf8(c, text);
            CHECK(accepts(sequences, text) == set.contains(c));
            CHECK(set.contains(c) != others.contains(c));
            std::size_t at = 0;
            CHECK(next_code_point(text, at) == c);
            CHECK(at == text.size());
        }
        CHECK(others.complement().ranges() == set.ranges());
        CHECK(set.without(set).empty());
        CHECK(set.with(others).ranges() == CodePointSet::all().ranges());
    }
}

TEST_CASE("code points: surrogates belong to no set") {
    CHECK_FALSE(CodePointSet::all().contains(0xD800));
    CHECK(CodePointSet({{0xD800, 0xDFFF}}).empty());
    CHECK(CodePointSet({{0xD000, 0xE000}, {0x41, 0x41}}).contains(0xE000));
}

TEST_CASE("code points: malformed UTF-8 is told byte by byte") {
    for (const std::string_view bad :
         {"\x80", "\xC0\x80", "\xC3", "\xC3z", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
          "\xF5\x80\x80\x80", "\xE4\xB8"}) {
        std::size_t at = 0;
        CHECK(next_code_point(bad, at) == kNotUtf8);
        CHECK(at == 1);
    }
}

}  // namespace code_points_test
