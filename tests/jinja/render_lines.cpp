// Renders what stands on standard input: a JSON object in each line, {"template": text,
// "variables": {...}, "now": "2026-03-09T07:05:00"}. Answers with a line each, {"text": ...} or
// {"error": ..., "by": ...}. For comparisons with another engine.
#include <cstdio>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/jinja/template.hpp"
#include "tests/jinja/rendering.hpp"

using namespace shoal::jinja;

namespace {

nlohmann::ordered_json answer(const nlohmann::ordered_json& request) {
    try {
        const Template parsed = Template::parse(request.at("template").get<std::string>(), "test");
        const Value variables = Value::from_json(request.at("variables").dump(), Origin::input);
        const std::tm now = time_of(request.value("now", "2026-03-09T07:05:00"));
        return {{"text", parsed.render(variables, now).text()}};
    } catch (const TemplateError& error) {
        const bool by_template = error.raised_by_template();
        return {{"error", by_template ? error.message() : error.what()}, {"refused", by_template}};
    }
}

}  // namespace

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::cout << answer(nlohmann::ordered_json::parse(line)).dump() << '\n';
    }
}
