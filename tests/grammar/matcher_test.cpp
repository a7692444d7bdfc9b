#include <doctest/doctest.h>

#include <string>

#include "tests/grammar/test_support.hpp"

namespace matcher_test {

using namespace shoal;
using grammar::Matcher;

std::shared_ptr<const grammar::Grammar> gbnf(std::string_view text) {
    return tests::compiled(grammar::compile_gbnf(text)).grammar;
}

TEST_CASE("matcher: refused bytes leave it where it was") {
    Matcher matcher(gbnf("root ::= \"abc\" \"d\"?"));
    CHECK(matcher.accept("ab") == Matcher::Outcome::accepted);
    CHECK(matcher.accept("cx") == Matcher::Outcome::refused);
    CHECK_FALSE(matcher.may_end());
    CHECK(matcher.accept("c") == Matcher::Outcome::accepted);
    CHECK(matcher.may_end());
    CHECK(matcher.accept("") == Matcher::Outcome::accepted);
    CHECK(matcher.accept("dd") == Matcher::Outcome::refused);
    CHECK(matcher.accept("d") == Matcher::Outcome::accepted);
}

TEST_CASE("matcher: a copy goes its own way, and outlives the first") {
    auto matcher = std::make_unique<Matcher>(gbnf("root ::= \"(\" root \")\" | \"x\""));
    REQUIRE(matcher->accept("((") == Matcher::Outcome::accepted);
    Matcher copy = *matcher;
    REQUIRE(matcher->accept("x))") == Matcher::Outcome::accepted);
    CHECK(matcher->may_end());
    CHECK_FALSE(copy.may_end());
    Matcher other(gbnf("root ::= \"y\""));
    other = copy;
    matcher.reset();
    CHECK(other.accept("(x))))") == Matcher::Outcome::refused);
    CHECK(other.accept("(x)))") == Matcher::Outcome::accepted);
    CHECK(other.may_end());
    CHECK(copy.accept("x))") == Matcher::Outcome::accepted);
    CHECK(copy.may_end());
}

TEST_CASE("matcher: the bytes that must follow are told, up to a choice, an end or the limit") {
    Matcher matcher(gbnf("root ::= \"name: \" (\"Anna\" | \"Anton\") \"!\"?"));
    CHECK(matcher.forced_bytes(100) == "name: An");
    CHECK(matcher.forced_bytes(4) == "name");
    REQUIRE(matcher.accept("name: Ant") == Matcher::Outcome::accepted);
    CHECK(matcher.forced_bytes(100) == "on");
    REQUIRE(matcher.accept("on") == Matcher::Outcome::accepted);
    CHECK(matcher.forced_bytes(100) == "");
    CHECK(Matcher(gbnf("root ::= [ab]")).forced_bytes(9) == "");
}

TEST_CASE("matcher: a list written as recursion at its end goes on for a long text") {
    Matcher matcher(gbnf("root ::= item root | item\nitem ::= \"a\" | \"(\" root \")\""));
    for (int i = 0; i < 20000; ++i) REQUIRE(matcher.accept("a(aa)") == Matcher::Outcome::accepted);
    CHECK(matcher.may_end());
}

TEST_CASE("matcher: what it remembers is bounded, and forgetting changes nothing") {
    // Every turn of the loop and every depth is another configuration.
    const auto grammar =
        gbnf("root ::= (\"x\"{1,500} | \"(\" root \")\" | [a-z \xC3\xA4]{3,900} \";\"){0,1000000}");
    const tests::SmallVocabulary vocabulary({"x", "xx", "(", ")", ";", "abc;", "\xC3", "\xA4"});
    Matcher matcher(grammar);
    std::string depth;
    for (int i = 0; i < 3000; ++i) {
        REQUIRE(matcher.accept(i % 3 == 0 ? "(xxx" : "abc\xC3\xA4;x") ==
                Matcher::Outcome::accepted);
        if (i % 3 == 0) depth += ')';
        if (i % 50 == 0) {
            const auto mask = matcher.allowed(vocabulary.vocabulary);
            REQUIRE(mask != nullptr);
            REQUIRE(*mask == tests::tried_mask(matcher, vocabulary));
        }
    }
    CHECK_FALSE(matcher.may_end());
    CHECK(matcher.accept(depth + ")") == Matcher::Outcome::refused);
    CHECK(matcher.accept(depth) == Matcher::Outcome::accepted);
    CHECK(matcher.may_end());
}

}  // namespace matcher_test
