// Published templates over conversations, against what python3-jinja2 renders: expected.json beside
// them. The files are not part of the repository.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/jinja/rendering.hpp"

namespace reference_test {

using namespace shoal::jinja;
using nlohmann::ordered_json;

namespace {

std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Empty, after a message, when SHOAL_CHAT is unset.
std::string folder() {
    if (const char* name = std::getenv("SHOAL_CHAT")) return name;
    MESSAGE("skipped: SHOAL_CHAT names no folder of chat templates");
    return {};
}

/// What the case gives to the template, as the transformers library would.
std::string variables_of(const ordered_json& conversation) {
    ordered_json out = conversation.value("extra", ordered_json::object());
    out["messages"] = conversation.at("messages");
    out["tools"] = conversation.value("tools", ordered_json());
    out["documents"] = conversation.value("documents", ordered_json());
    out["add_generation_prompt"] = conversation.at("add_generation_prompt");
    out["bos_token"] = conversation.value("bos_token", "<s>");
    out["eos_token"] = conversation.value("eos_token", "</s>");
    return out.dump();
}

void compare(const Template& parsed, const ordered_json& conversation, const ordered_json& wanted) {
    static const std::string kRefusal = "TemplateError: ";
    const std::tm now = time_of(conversation.at("now").get<std::string>());
    const Value variables = Value::from_json(variables_of(conversation), Origin::input);
    const std::string error = wanted.value("error", "");
    try {
        const std::string text = parsed.render(variables, now).text();
        if (wanted.contains("text")) CHECK(text == wanted.at("text").get<std::string>());
        CHECK_FALSE(error.starts_with(kRefusal));
    } catch (const TemplateError& failure) {
        CHECK_MESSAGE(wanted.contains("error"), failure.what());
        if (error.starts_with(kRefusal)) {
            CHECK(failure.raised_by_template());
            CHECK(kRefusal + failure.message() == error);
        }
        CHECK(failure.line() > 0);
    }
}

}  // namespace

TEST_SUITE("reference") {
    TEST_CASE("published templates give what jinja2 gives, or refuse with the same words") {
        const std::string path = folder();
        if (path.empty()) return;
        const auto cases = ordered_json::parse(content(path + "/cases.json"));
        const auto expected = ordered_json::parse(content(path + "/expected.json"));
        REQUIRE(expected.size() > 0);
        for (const auto& [each_name, wanted] : expected.items()) {
            const auto& name = each_name;
            const Template parsed =
                Template::parse(content(path + "/templates/" + name + ".jinja"), name);
            for (const auto& [each_conversation, answer] : wanted.items()) {
                const auto& conversation = each_conversation;
                CAPTURE(name);
                CAPTURE(conversation);
                compare(parsed, cases.at(conversation), answer);
            }
        }
    }
}

}  // namespace reference_test
