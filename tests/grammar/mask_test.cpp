#include <doctest/doctest.h>

#include <random>
#include <string>

#include "tests/grammar/test_support.hpp"
#include "tests/instrumented.hpp"

namespace mask_test {

using namespace shoal;
using grammar::Matcher;

constexpr std::string_view kAlphabet = "aabbc\"\\\xC3\xA4\xE4\xB8\xAD{}:, ";

/// An expression in GBNF; rules are named r0 to r3.
std::string expression(std::mt19937& random, int depth) {
    static constexpr const char* kAtoms[] = {"\"a\"",
                                             "\"b\"",
                                             "\"ab\"",
                                             "\"abc\"",
                                             "[ab]",
                                             "[^a]",
                                             ".",
                                             "\"\"",
                                             "[\xC3\xA4-\xC3\xBF]",
                                             "[^\"\\\\\\x00-\\x1f]",
                                             "\"\xE4\xB8\xAD\"",
                                             "\"{\"",
                                             "\"}\"",
                                             "\", \"",
                                             "[a-c\xE4\xB8\xAD]"};
    const auto part = [&] { return expression(random, depth - 1); };
    if (depth == 0) return kAtoms[random() % std::size(kAtoms)];
    switch (random() % 9) {
        case 0:
        case 1:
            return part() + " " + part();
        case 2:
            return "(" + part() + " | " + part() + ")";
        case 3:
            return "(" + part() + ")*";
        case 4:
            return "(" + part() + ")?";
        case 5: {
            const auto min = random() % 3, max = min + random() % 120;
            return "(" + part() + "){" + std::to_string(min) + "," + std::to_string(max) + "}";
        }
        case 6:
        case 7:
            return "\"b\"? \"a\" r" + std::to_string(random() % 4);
        default:
            return part();
    }
}

std::string random_grammar(std::mt19937& random) {
    std::string text = "root ::= " + expression(random, 3) + " | r0\n";
    for (int rule = 0; rule < 4; ++rule) {
        text += "r" + std::to_string(rule) + " ::= " + expression(random, 2) + " | \"" +
                std::string(1, "abc{"[rule]) + "\"\n";
    }
    return text;
}

TEST_CASE("mask: it is what trying every token yields, for random grammars and vocabularies") {
    const int seeds = tests::by_speed(250, 30);
    int compared = 0, partial = 0;
    for (int seed = 0; seed < seeds; ++seed) {
        std::mt19937 random(seed);
        const std::string text = random_grammar(random);
        CAPTURE(seed);
        CAPTURE(text);
        const auto made = tests::compiled(grammar::compile_gbnf(text));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CAPTURE(error);
        if (grammar == nullptr) continue;
        const auto vocabulary = tests::random_vocabulary(random, kAlphabet, 500);
        Matcher matcher(grammar);
        for (int step = 0; step < 12; ++step) {
            const auto mask = matcher.allowed(vocabulary.vocabulary);
            REQUIRE(mask != nullptr);
            REQUIRE(*mask == tests::tried_mask(matcher, vocabulary));
            ++compared;
            std::vector<std::size_t> allowed;
            for (std::size_t token = 0; token + 1 < mask->size(); ++token) {
                if ((*mask)[token]) allowed.push_back(token);
            }
            if (allowed.empty()) break;
            const std::string& next = vocabulary.texts[allowed[random() % allowed.size()]];
            partial += static_cast<unsigned char>(next.back()) >= 0xC3 ? 1 : 0;
            REQUIRE(matcher.accept(next) == Matcher::Outcome::accepted);
        }
    }
    // Most grammars were fine, and some tokens split characters.
    CHECK(compared > seeds * 2);
    CHECK(partial > seeds / 20);
}

TEST_CASE("mask: ends are allowed exactly where the text may end, control tokens never") {
    const auto grammar = tests::compiled(grammar::compile_gbnf("root ::= \"ab\"*")).grammar;
    const tests::SmallVocabulary vocabulary({"a", "b", "ab", "ba", "", "control"});
    Matcher matcher(grammar);
    const auto at_start = matcher.allowed(vocabulary.vocabulary);
    CHECK((*at_start)[vocabulary.end()]);
    CHECK((*at_start)[0]);
    CHECK((*at_start)[2]);
    CHECK(at_start->count() == 3);
    REQUIRE(matcher.accept("a") == Matcher::Outcome::accepted);
    const auto inside = matcher.allowed(vocabulary.vocabulary);
    CHECK_FALSE((*inside)[vocabulary.end()]);
    CHECK((*inside)[1]);
    CHECK((*inside)[3]);
    CHECK(inside->count() == 2);
}

TEST_CASE("mask: two vocabularies in turn do not mix") {
    const auto grammar = tests::compiled(grammar::compile_gbnf("root ::= [a-c]+")).grammar;
    const tests::SmallVocabulary first({"a", "x", "b"}), second({"x", "a"});
    const Matcher matcher(grammar);
    for (int round = 0; round < 2; ++round) {
        CHECK(*matcher.allowed(first.vocabulary) == tests::tried_mask(matcher, first));
        CHECK(*matcher.allowed(second.vocabulary) == tests::tried_mask(matcher, second));
    }
}

TEST_CASE("vocabulary: texts and uses that differ in number are refused") {
    const std::vector<std::string_view> texts{"a", "b"};
    const std::vector<grammar::TokenUse> uses{grammar::TokenUse::text};
    CHECK_THROWS_AS(grammar::Vocabulary(texts, uses), grammar::VocabularyError);
}

}  // namespace mask_test
