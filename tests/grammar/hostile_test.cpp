// Grammars and schemas that mean harm end with an error, or work within their bounds.
#include <doctest/doctest.h>

#include <string>

#include "tests/grammar/test_support.hpp"
#include "tests/instrumented.hpp"

namespace hostile_test {

using namespace shoal;
using grammar::Matcher;

/// Accepts as much of the text as it can and asks for masks on the way.
void use(const std::shared_ptr<const grammar::Grammar>& grammar, std::string_view text) {
    const tests::SmallVocabulary vocabulary({"a", "aa", "aaaaaaaaaaaaaaaa", "b", "\"", "{", "["});
    Matcher matcher(grammar);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (matcher.accept(text.substr(i, 1)) != Matcher::Outcome::accepted) return;
        if (i % 64 == 0 && matcher.allowed(vocabulary.vocabulary) == nullptr) return;
    }
}

TEST_CASE("hostile: ambiguous grammars") {
    const std::string text(tests::by_speed(2000, 300), 'a');
    for (const char* source : {
             "root ::= (\"a\" | \"a\")*",
             "root ::= ((\"a\"*)*)*",
             "root ::= (\"a\"? \"a\"? \"a\"?){1000}",
             "root ::= \"a\" root root | \"a\"",
             "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root | \"a\"",
             "root ::= x x x x x x x x\nx ::= y y y y y y y y | \"a\"\ny ::= \"a\" x | \"\"",
             "root ::= (\"a\" | \"aa\" | \"aaa\"){0,1000000}",
             "root ::= ((\"a\" | \"aa\"){1,1000}){1,1000}",
             "root ::= a | b\na ::= \"a\" b | \"a\"\nb ::= \"a\" a \"a\" | \"a\" b | \"\"",
         }) {
        CAPTURE(source);
        const auto made = tests::compiled(grammar::compile_gbnf(source));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CHECK(error == "");
        if (grammar != nullptr) use(grammar, text);
    }
}

TEST_CASE("hostile: grammars that would be huge") {
    std::string doubling = "root ::= r30\nr0 ::= [^a] \"b\"\n";
    for (int i = 1; i <= 30; ++i) {
        const std::string before = "r" + std::to_string(i - 1);
        doubling += "r" + std::to_string(i) + " ::= " + before + " " + before + "\n";
    }
    const auto fine = tests::compiled(grammar::compile_gbnf(doubling));
    CHECK(fine.error == "");
    if (fine.grammar != nullptr) use(fine.grammar, "xbxbxb");

    std::string repeated = "\"a\"";
    for (int i = 0; i < 20; ++i) repeated = "(" + repeated + "){900,1000}";
    const auto counted = tests::compiled(grammar::compile_gbnf("root ::= " + repeated));
    CHECK(counted.error == "");
    if (counted.grammar != nullptr) use(counted.grammar, std::string(500, 'a'));

    std::string small = "\"a\"";
    for (int i = 0; i < 40; ++i) small = "(" + small + " \"b\"?){2}";
    const auto nested = tests::compiled(grammar::compile_gbnf("root ::= " + small));
    if (nested.grammar != nullptr) use(nested.grammar, std::string(500, 'a'));

    std::string loops = "root ::= ";
    for (int i = 0; i < 5000; ++i) loops += "([a-z\xC3\xA4]\"abcdefgh\"){1000000} ";
    CHECK(tests::compiled(grammar::compile_gbnf(loops)).error.find("too large") !=
          std::string::npos);

    std::string postfix = "root ::= \"a\"" + std::string(100, '*');
    CHECK(tests::compiled(grammar::compile_gbnf(postfix)).error.find("too many repetitions") !=
          std::string::npos);
}

TEST_CASE("hostile: a long chain of rules, and one that ends where it began") {
    std::string chain = "root ::= r0\n";
    for (int i = 0; i < 6000; ++i) {
        chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
    }
    const auto straight = tests::compiled(grammar::compile_gbnf(chain + "r6000 ::= \"a\""));
    CHECK(straight.error == "");
    CHECK(tests::matches(straight.grammar, "a"));
    const auto loop = tests::compiled(grammar::compile_gbnf(chain + "r6000 ::= r0 | \"a\""));
    CHECK(loop.error.find("can begin with itself") != std::string::npos);
    CHECK(loop.error.size() < 1000);
}

TEST_CASE("hostile: schemas") {
    const auto error_of = [](const std::string& schema) {
        return tests::compiled(grammar::compile_json_schema(schema)).error;
    };
    std::string deep, arrays;
    for (int i = 0; i < 100'000; ++i) deep += "{\"items\":";
    CHECK(error_of(deep).find("nested deeper") != std::string::npos);
    CHECK(error_of(std::string(100'000, '[')).find("nested deeper") != std::string::npos);

    std::string names = "{\"properties\":{", values = "{\"enum\":[";
    for (int i = 0; i < 900; ++i) {
        names += (i ? ",\"p" : "\"p") + std::to_string(i) + "\":{}";
    }
    for (int i = 0; i < 5000; ++i) values += (i ? ",\"v" : "\"v") + std::to_string(i) + "\"";
    for (const std::string& schema :
         {names + "}}", names + "},\"additionalProperties\":true}", values + "]}"}) {
        const auto made = tests::compiled(grammar::compile_json_schema(schema));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CHECK(error == "");
        if (grammar != nullptr) use(grammar, "{\"p1\":1,\"p77\":{\"a\":[]},\"p899\":\"\"}");
    }
    // Every allOf doubles.
    std::string doubling = R"({"$ref":"#/$defs/d20","$defs":{"d0":{"properties":{"a":{}}})";
    for (int i = 1; i <= 20; ++i) {
        const std::string ref = R"({"$ref":"#/$defs/d)" + std::to_string(i - 1) + "\"}";
        doubling += ",\"d" + std::to_string(i) + "\":{\"allOf\":[" + ref + "," + ref + "]}";
    }
    CHECK(error_of(doubling + "}}").find("too many schemas are merged") != std::string::npos);
    CHECK(
        error_of(R"({"type":"object","properties":{"a":{"allOf":[{"$ref":"#/properties/a"},{}]}}})")
            .find("without end") != std::string::npos);
    // Growing at each turn: a merged schema that refers to itself is merged again.
    const std::string growing = error_of(
        R"({"$defs":{"a":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/a"},{"properties":{"y":{}}}]}}}},"$ref":"#/$defs/a"})");
    CHECK(growing.find("nested deeper") != std::string::npos);
}

}  // namespace hostile_test
