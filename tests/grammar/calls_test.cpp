#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/grammar/test_support.hpp"

namespace calls_test {

using namespace shoal;
using grammar::Callable;
using grammar::CallFrame;

const CallFrame kFrame{"[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"};
const std::vector<Callable> kFunctions{
    {"add", R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})"},
    {"now", R"({"type":"object","properties":{}})"}};

TEST_CASE("calls: one of the functions, with arguments that its schema describes") {
    const auto made = tests::compiled(grammar::compile_calls(kFrame, kFunctions, true));
    REQUIRE(made.error == "");
    const auto matches = [&](const char* text) { return tests::matches(made.grammar, text); };
    CHECK(matches(R"([{"name": "add", "arguments": {"a":1}}])"));
    CHECK(matches(R"([{"name": "now", "arguments": {}}, {"name": "add", "arguments": {"a":-2}}])"));
    CHECK_FALSE(matches(R"([{"name": "add", "arguments": {}}])"));
    CHECK_FALSE(matches(R"([{"name": "now", "arguments": {"a":1}}])"));
    CHECK_FALSE(matches(R"([{"name": "sub", "arguments": {"a":1}}])"));
    CHECK_FALSE(matches("[]"));
    CHECK_FALSE(matches(""));
}

TEST_CASE("calls: one alone where several are not wanted, and never without end") {
    const std::string one = R"({"name": "now", "arguments": {}})";
    const auto list = [&](std::uint32_t count) {
        std::string text = "[" + one;
        for (std::uint32_t i = 1; i < count; ++i) text += ", " + one;
        return text + "]";
    };
    const auto single = tests::compiled(grammar::compile_calls(kFrame, kFunctions, false));
    CHECK(tests::matches(single.grammar, list(1)));
    CHECK_FALSE(tests::matches(single.grammar, list(2)));
    const auto several = tests::compiled(grammar::compile_calls(kFrame, kFunctions, true));
    CHECK(tests::matches(several.grammar, list(grammar::kMaxCalls)));
    CHECK_FALSE(tests::matches(several.grammar, list(grammar::kMaxCalls + 1)));
}

TEST_CASE("calls: a schema that is refused is named by its function") {
    const std::vector<Callable> wrong{{"now", "{}"}, {"add", R"({"type":"object","not":{}})"}};
    const auto made = tests::compiled(grammar::compile_calls(kFrame, wrong, true));
    CHECK(made.grammar == nullptr);
    CHECK(made.error.find("the parameters of add") != std::string::npos);
    CHECK(made.error.find("not") != std::string::npos);
}

const CallFrame kTags{"",
                      "<function=",
                      ">\n",
                      "\n</function>",
                      "\n",
                      "",
                      {"<parameter=", ">\n", "</parameter>", "\n", ">\n"}};
const CallFrame kKeywords{"[", "", "(", ")", ", ", "]", {"", "=", "", ", ", ""}};

/// One function that is called with these arguments, between marks.
grammar::GrammarOrError calls_of(const CallFrame& frame, const char* schema,
                                 std::vector<std::string> texts = {}) {
    const std::vector<Callable> functions{{"f", schema, std::move(texts)}};
    return grammar::compile_calls(frame, functions, false);
}

TEST_CASE("calls: arguments one by one, in order, the required ones always") {
    constexpr const char* kSchema =
        R"({"type":"object","required":["b"],"properties":{"a":{"type":"integer"},)"
        R"("b":{"type":"boolean"},"c":{"type":"array","items":{"type":"string"}}}})";
    const auto made = tests::compiled(calls_of(kKeywords, kSchema));
    REQUIRE(made.error == "");
    const auto matches = [&](const char* text) { return tests::matches(made.grammar, text); };
    CHECK(matches("[f(b=true)]"));
    CHECK(matches("[f(a=1, b=false, c=[\"x\"])]"));
    CHECK_FALSE(matches("[f()]"));
    CHECK_FALSE(matches("[f(a=1)]"));
    CHECK_FALSE(matches("[f(b=true, a=1)]"));
    CHECK_FALSE(matches("[f(b=True)]"));
    CHECK_FALSE(matches("[f(b=true, d=1)]"));
    const auto none = tests::compiled(calls_of(kKeywords, R"({"properties":{}})"));
    CHECK(tests::matches(none.grammar, "[f()]"));
    CHECK_FALSE(tests::matches(none.grammar, "[f(a=1)]"));
    const auto free = tests::compiled(calls_of(kKeywords, R"({"type":"object"})"));
    CHECK(tests::matches(free.grammar, "[f()]"));
    CHECK(tests::matches(free.grammar, "[f(a_1=1, B={\"x\": [null]})]"));
    CHECK_FALSE(tests::matches(free.grammar, "[f(1a=1)]"));
}

TEST_CASE("calls: plain text holds everything but the mark behind it") {
    constexpr const char* kSchema =
        R"({"type":"object","required":["t"],"properties":{"t":{"type":"string"}}})";
    const auto made = tests::compiled(calls_of(kTags, kSchema, {"t"}));
    REQUIRE(made.error == "");
    const auto holds = [&](const std::string& text) {
        return tests::matches(made.grammar,
                              "<function=f>\n<parameter=t>\n" + text + "</parameter>\n</function>");
    };
    for (const char* text :
         {"", "kitchen\n", "\"quoted\" \\", "a\nb", "</", "<<</parameter", "<b>é😀</b>", "</</"}) {
        CAPTURE(text);
        CHECK(holds(text));
    }
    for (const char* text : {"</parameter>", "a</parameter>b", "<</parameter>\n"}) {
        CAPTURE(text);
        CHECK_FALSE(holds(text));
    }
}

TEST_CASE("calls: what a schema says of plain text") {
    constexpr const char* kSchema =
        R"({"type":"object","required":["e","p"],"properties":{"e":{"enum":["on","o\"ff"]},)"
        R"("p":{"type":"string","pattern":"^[a-c]+$"},"n":{"type":["string","null"]}}})";
    const auto made = tests::compiled(calls_of(kTags, kSchema, {"e", "p", "n"}));
    REQUIRE(made.error == "");
    const auto with = [&](const std::string& e, const std::string& p) {
        const auto tag = [](const char* name, const std::string& value) {
            return std::string("<parameter=") + name + ">\n" + value + "</parameter>";
        };
        return tests::matches(made.grammar, "<function=f>\n" + tag("e", e) + "\n" + tag("p", p) +
                                                "\n" + tag("n", "null") + "\n</function>");
    };
    CHECK(with("on", "abc"));
    CHECK(with("o\"ff", "a"));
    CHECK_FALSE(with("\"on\"", "abc"));
    CHECK_FALSE(with("off", "abc"));
    CHECK_FALSE(with("on", "abd"));
}

TEST_CASE("calls: schemas of arguments one by one that say more are refused with their place") {
    const auto error = [](const char* schema) {
        return tests::compiled(calls_of(kTags, schema, {"t"})).error;
    };
    CHECK(error(R"({"type":"array"})").find("#/type") != std::string::npos);
    CHECK(error(R"({"anyOf":[{"type":"object"}]})").find("one by one") != std::string::npos);
    CHECK(error(R"({"properties":{"t":{"enum":["a</parameter>b"]}}})").find("#/properties/t") !=
          std::string::npos);
    CHECK(error(R"({"properties":{"a":{"$ref":"#/$defs/no"}}})").find("#/properties/a") !=
          std::string::npos);
    // What is referred to is read in its place.
    const char* const referred =
        R"({"$ref":"#/$defs/all","$defs":{"all":{"properties":{"a":{"$ref":"#/$defs/n"}},)"
        R"("required":["a"]},"n":{"type":"integer"}}})";
    const auto made = tests::compiled(calls_of(kKeywords, referred));
    REQUIRE(made.error == "");
    CHECK(tests::matches(made.grammar, "[f(a=7)]"));
}

}  // namespace calls_test
