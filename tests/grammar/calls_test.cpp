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

}  // namespace calls_test
