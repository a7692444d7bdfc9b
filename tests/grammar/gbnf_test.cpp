#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "daemon/grammar/limits.hpp"
#include "tests/grammar/test_support.hpp"

namespace gbnf_test {

using namespace shoal;

struct Case {
    const char* grammar;
    std::vector<std::string_view> accepted, refused;
};

TEST_CASE("GBNF: texts are accepted and refused as the grammar says") {
    const Case cases[] = {
        {"root ::= \"a\"", {"a"}, {"", "b", "aa"}},
        {"root ::= ", {""}, {"a"}},
        {"root ::= \"a\" | \"bc\" |", {"a", "bc", ""}, {"b", "abc"}},
        {"root ::= \"a\"? \"b\"* \"c\"+", {"c", "ac", "abbcc"}, {"", "ab", "aac"}},
        {"root ::= \"a\"{3}", {"aaa"}, {"aa", "aaaa"}},
        {"root ::= \"a\"{2,}", {"aa", "aaaaa"}, {"a"}},
        {"root ::= \"a\"{1,3}", {"a", "aaa"}, {"", "aaaa"}},
        {"root ::= \"a\"{,2}", {"", "aa"}, {"aaa"}},
        {"root ::= \"a\"{0}", {""}, {"a"}},
        {"root ::= (\"ab\" | \"c\"){2}", {"abab", "abc", "cc"}, {"ab", "cab "}},
        {"root ::= [a-c]", {"a", "b", "c"}, {"d", "", "-"}},
        {"root ::= [^a-c]", {"d", "\xC3\xA4", "\xF0\x9F\x98\x80"}, {"a", "b", "", "\xC3", "\xA4"}},
        {"root ::= [a-]", {"a", "-"}, {"b"}},
        {"root ::= [\\]\\[\\\\\"]", {"]", "[", "\\", "\""}, {"a"}},
        {"root ::= [\xC3\xA0-\xC3\xBF]", {"\xC3\xA4"}, {"\xC3\x9F", "a", "\xC3"}},
        {"root ::= [\\u4e00-\\U00009fff]+", {"\xE4\xB8\xAD\xE6\x96\x87"}, {"a", "\xE4\xB8"}},
        {"root ::= .",
         {"a", "\n", "\xC3\xA4", "\xF4\x8F\xBF\xBF"},
         {"", "ab", "\xFF", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80"}},
        {"root ::= \"\\n\\r\\t\\\\\\\"\\[\\]\"", {"\n\r\t\\\"[]"}, {"n"}},
        {"root ::= \"\\x41\\xe4\\u00df\\U0001F600\"",
         {"A\xC3\xA4\xC3\x9F\xF0\x9F\x98\x80"},
         {"A\xE4"}},
        {"# first\nroot ::= a # behind\n  # alone\na ::= \"x\"\n\n", {"x"}, {"#"}},
        {"root ::=\n  \"a\"\n", {"a"}, {}},
        {"root ::= \"a\" |\n  \"b\"\nc ::= \"d\"", {"a", "b"}, {"d"}},
        {"root ::= (\n \"a\"\n \"b\"\n)\r\n", {"ab"}, {"a"}},
        {"root ::= a-1\na-1 ::= \"x\" root | \"y\"", {"y", "xxy"}, {"x"}},
        {"root ::= \"(\" root \")\" | \"\"", {"", "(())"}, {"(()", ")"}},
        {"root ::= a a\na ::= \"x\"?", {"", "x", "xx"}, {"xxx"}},
        {"root ::= \"a\"*?", {"", "aaa"}, {"b"}},
        {"root ::= (\"a\"?){3,5}", {"", "a", "aaaaa"}, {"aaaaaa"}},
        {"root ::= (\"ab\" | \"a\" | \"b\")* \"c\"", {"c", "ababac"}, {"ab"}},
    };
    for (const Case& one : cases) {
        CAPTURE(one.grammar);
        const auto made = tests::compiled(grammar::compile_gbnf(one.grammar));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CHECK(error == "");
        if (grammar == nullptr) continue;
        for (const auto text : one.accepted) {
            CAPTURE(text);
            CHECK(tests::matches(grammar, text));
        }
        for (const auto text : one.refused) {
            CAPTURE(text);
            CHECK_FALSE(tests::matches(grammar, text));
        }
    }
}

TEST_CASE("GBNF: an error says the line, the column and the cause") {
    const std::pair<const char*, const char*> cases[] = {
        {"", "line 1, column 1: there is no rule \"root\""},
        {"a ::= \"x\"", "there is no rule \"root\""},
        {"root ::= b", "line 1, column 10: rule \"b\" is not defined"},
        {"root ::= \"x\"\nroot ::= \"y\"", "line 2, column 1: rule \"root\" is defined twice"},
        {"root = \"x\"", "line 1, column 6: ::= is missing"},
        {"::= \"x\"", "line 1, column 1: a rule's name is missing"},
        {"root ::= \"x", "line 1, column 10: this literal is not closed"},
        {"root ::= [x", "line 1, column 10: this class is not closed"},
        {"root ::= []", "an empty class"},
        {"root ::= [b-a]", "line 1, column 11: the range's end"},
        {"root ::= (\"x\"", "this ( is not closed"},
        {"root ::= \"x\")", "this ) closes nothing"},
        {"root ::= \"x\" $", "line 1, column 14"},
        {"root ::= \"\\q\"", "line 1, column 11: an unknown escape"},
        {"root ::= \"\\x4\"", "hexadecimal digits are missing"},
        {"root ::= \"\\uD800\"", "no Unicode character"},
        {"root ::= \"\xFF\"", "not UTF-8"},
        {"root ::= \"x\"{2,1}", "smaller than the first"},
        {"root ::= \"x\"{,}", "a count is missing"},
        {"root ::= \"x\"{a}", "is not a count"},
        {"root ::= \"x\"{1000001}", "more than 1000000 repetitions"},
        {"root ::= <think> .*", "line 1, column 10: tokens (<...>) cannot be named"},
        {"root ::= !<[7]>", "tokens (<...>) cannot be named"},
        {"root ::= root \"x\" | \"y\"", "rule \"root\" can begin with itself"},
        {"root ::= a\na ::= \"x\"? b\nb ::= a \"y\" | \"z\"", "can begin with itself"},
        {"root ::= root", "no text matches"},
        {"root ::= \"x\" root", "no text matches the grammar"},
        {"root ::= [^\\x00-\\U0010FFFF]", "no text matches the grammar"},
    };
    for (const auto& one : cases) {
        const char* const text = one.first;
        const char* const expected = one.second;
        CAPTURE(text);
        const auto made = tests::compiled(grammar::compile_gbnf(text));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CHECK(grammar == nullptr);
        CAPTURE(error);
        CHECK(error.find(expected) != error.npos);
    }
}

TEST_CASE("GBNF: left recursion is told with the way that leads back") {
    const auto made = tests::compiled(
        grammar::compile_gbnf("root ::= \"s\" a\na ::= b \"x\" | \"1\"\nb ::= a \"y\" | \"2\""));
    const auto& grammar = made.grammar;
    const std::string& error = made.error;
    CHECK(grammar == nullptr);
    const bool told =
        error.find("a -> b -> a") != error.npos || error.find("b -> a -> b") != error.npos;
    CAPTURE(error);
    CHECK(told);
}

TEST_CASE("GBNF: what is nested at the limit is read, and refused beyond it") {
    const auto nested = [](std::size_t depth) {
        return "root ::= " + std::string(depth, '(') + "\"x\"" + std::string(depth, ')');
    };
    CHECK(tests::compiled(grammar::compile_gbnf(nested(grammar::kMaxNesting))).error == "");
    const auto made = tests::compiled(grammar::compile_gbnf(nested(grammar::kMaxNesting + 1)));
    const auto& none = made.grammar;
    const std::string& error = made.error;
    CHECK(error.find("nested deeper than 64") != error.npos);
    CHECK(none == nullptr);
}

TEST_CASE("GBNF: a text, rules or expressions beyond the limits are refused") {
    const std::string long_text(grammar::kMaxSourceBytes + 1, '#');
    CHECK(tests::compiled(grammar::compile_gbnf(long_text)).error.find("bytes") !=
          std::string::npos);
    std::string many = "root ::= \"x\"\n";
    for (std::size_t i = 0; i < grammar::kMaxRules; ++i) many += "r" + std::to_string(i) + "::=.\n";
    CHECK(tests::compiled(grammar::compile_gbnf(many)).error.find("more than 20000 rules") !=
          std::string::npos);
    std::string large = "root ::= ";
    for (std::size_t i = 0; i < grammar::kMaxExpressions; ++i) large += ".\"\"";
    CHECK(tests::compiled(grammar::compile_gbnf(large)).error.find("too large") !=
          std::string::npos);
}

TEST_CASE("GBNF: large repetitions count instead of being written out") {
    const auto made = tests::compiled(grammar::compile_gbnf("root ::= [a-z\xC3\xA4]{5,1000000}"));
    const auto& grammar = made.grammar;
    const std::string& error = made.error;
    REQUIRE(error == "");
    CHECK_FALSE(tests::matches(grammar, "abcd"));
    CHECK(tests::matches(grammar, "ab\xC3\xA4yz"));
    CHECK(tests::matches(grammar, std::string(3000, 'x')));

    const auto nested = tests::compiled(
        grammar::compile_gbnf("root ::= ((\"a\"{1,1000} \"b\"){2,1000} \"c\"){1000}"));
    REQUIRE(nested.error == "");
    std::string text;
    for (int i = 0; i < 999; ++i) text += i % 7 == 0 ? "aababaaabc" : "aababc";
    CHECK_FALSE(tests::matches(nested.grammar, text));
    CHECK(tests::matches(nested.grammar, text + "ababc"));
    CHECK_FALSE(tests::matches(nested.grammar, text + "abc"));
    CHECK_FALSE(tests::matches(nested.grammar, text + "ababcababc"));
}

TEST_CASE("GBNF: repeated parts that may match nothing need not match their least count") {
    const auto made = tests::compiled(grammar::compile_gbnf("root ::= (\"a\"? | \"b\"*){500,900}"));
    const auto& grammar = made.grammar;
    const std::string& error = made.error;
    REQUIRE(error == "");
    CHECK(tests::matches(grammar, ""));
    CHECK(tests::matches(grammar, "abba"));
    CHECK(tests::matches(grammar, std::string(900, 'a')));
    CHECK_FALSE(tests::matches(grammar, std::string(901, 'a')));
}

}  // namespace gbnf_test
