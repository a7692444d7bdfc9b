#include "daemon/http/dialects/ollama/generation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/ollama/options.hpp"
#include "daemon/http/dialects/openai/chat_tools.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

using mesh::messages::Constraint;
using mesh::messages::Task;

constexpr std::uint32_t kMaxTopLogprobs = mesh::messages::kMaxLogprobs - 1;
/// Some token of any model.
constexpr char kAnyPrompt[] = ".";

Problem take_format(const std::string& name, const Json& value, Generation& out) {
    Constraint& constraint = out.generate.constraint;
    if (value == "") return {};
    if (value == "json") {
        constraint = {Constraint::Kind::json_schema, R"({"type":"object"})"};
        return {};
    }
    if (!value.is_object()) return wrong(name, value, "\"json\" or a JSON schema");
    constraint = {Constraint::Kind::json_schema, dump(value)};
    if (constraint.text.size() <= mesh::messages::kMaxGrammarBytes) return {};
    return bad_field(name, fmt::format("{} has {} bytes; at most {} are allowed", name,
                                       constraint.text.size(), mesh::messages::kMaxGrammarBytes));
}

Problem take_think(const std::string& name, const Json& value, Generation& out) {
    Json kwargs = Json::object();
    if (value.is_boolean()) {
        kwargs["enable_thinking"] = value;
    } else if (value == "low" || value == "medium" || value == "high") {
        if (auto problem = openai::take_effort(name, value, kwargs)) return problem;
    } else {
        return wrong(name, value, "true, false, \"low\", \"medium\" or \"high\"");
    }
    out.template_kwargs = dump(kwargs);
    return {};
}

Problem take_top_logprobs(const std::string& name, const Json& value, Generation& out) {
    if (!value.is_number_unsigned() || value > kMaxTopLogprobs) {
        return wrong(name, value, fmt::format("an integer from 0 to {}", kMaxTopLogprobs));
    }
    return take(name, value, out.top_logprobs.emplace());
}

/// What becomes of a prompt that is too long: an error, which says so.
Problem skip_flag(const std::string& name, const Json& value, Generation&) {
    return accept_bool(name, value);
}

constexpr Field<Generation> kCommonFields[] = {
    {"model",
     [](const auto& name, const Json& v, auto& g) { return take_model(name, v, g.model); }},
    {"stream", [](const auto& name, const Json& v, auto& g) { return take(name, v, g.stream); }},
    {"options", [](const auto& name, const Json& v, auto& g) { return take_options(name, v, g); }},
    {"format", take_format},
    {"think", take_think},
    {"keep_alive", [](const auto& name, const Json& v,
                      auto& g) { return take_keep_alive(name, v, g.generate.keep_alive); }},
    {"logprobs",
     [](const auto& name, const Json& v, auto& g) { return take(name, v, g.logprobs); }},
    {"top_logprobs", take_top_logprobs},
    {"truncate", skip_flag},
    {"shift", skip_flag},
};

constexpr double kLongest = 315360000;  // seconds

// As Go writes durations: "1h30m", "-1s", "1.5m"; or seconds alone. Nothing: it is none.
std::optional<double> seconds_of(std::string_view text) {
    static constexpr std::pair<std::string_view, double> kUnits[] = {
        {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"h", 3600}, {"m", 60}, {"s", 1}};
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    if (text.empty()) return std::nullopt;
    double sum = 0;
    for (bool alone = true; !text.empty(); alone = false) {
        double number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number,
                                                  std::chars_format::fixed);
        if (error != std::errc() || !(number >= 0) || std::isinf(number)) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        const auto* unit =
            std::ranges::find_if(kUnits, [&](const auto& u) { return text.starts_with(u.first); });
        if (unit == std::end(kUnits)) {
            if (!alone || !text.empty()) return std::nullopt;
            sum = number;
        } else {
            sum += number * unit->second;
            text.remove_prefix(unit->first.size());
        }
    }
    return negative ? -sum : sum;
}

}  // namespace

bool take_common(const std::string& name, const Json& value, Generation& out, Problem& problem) {
    const auto* field = find_field(kCommonFields, name);
    if (field != nullptr) problem = take(*field, name, value, out);
    return field != nullptr;
}

Problem take_keep_alive(const std::string& name, const Json& value, std::int32_t& seconds) {
    std::optional<double> said;
    if (value.is_number()) said = value.get<double>();
    if (value.is_string()) said = seconds_of(value.get_ref<const std::string&>());
    if (!said) return wrong(name, value, "a duration as \"5m\" or \"1h30m\", or seconds");
    seconds = *said < 0 ? -1 : static_cast<std::int32_t>(std::ceil(std::min(*said, kLongest)));
    return {};
}

Problem use_conversation(chat::Conversation conversation, Generation& out) {
    conversation.template_kwargs = out.template_kwargs;
    if (auto problem = openai::check_conversation(conversation)) return problem;
    out.generate.chat = to_json(conversation);
    return {};
}

Problem use_load(Generation& out) {
    const std::int32_t keep_alive = out.generate.keep_alive;
    out.generate = {};
    out.generate.keep_alive = keep_alive;
    out.generate.prompt = kAnyPrompt;
    out.generate.task = Task::read;
    out.load = true;
    return {};
}

Problem check_common(Generation& out, std::string_view on_wire, std::string_view here) {
    out.generate.model = out.model.wanted;
    if (out.top_logprobs && !out.logprobs) {
        return bad_field("top_logprobs", "top_logprobs is for requests with \"logprobs\": true");
    }
    if (out.logprobs && !out.load) out.generate.logprobs = 1 + out.top_logprobs.value_or(0);
    settle(out);
    return refused(out.generate, on_wire, here);
}

}  // namespace shoal::http::ollama
