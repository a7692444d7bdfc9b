#include "daemon/http/dialects/ollama/generation.hpp"

#include <fmt/format.h>

#include <algorithm>
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
    {"keep_alive",
     [](const auto& name, const Json& v, auto& g) { return take_keep_alive(name, v, g.unload); }},
    {"logprobs",
     [](const auto& name, const Json& v, auto& g) { return take(name, v, g.logprobs); }},
    {"top_logprobs", take_top_logprobs},
    {"truncate", skip_flag},
    {"shift", skip_flag},
};

}  // namespace

bool take_common(const std::string& name, const Json& value, Generation& out, Problem& problem) {
    const auto* field = find_field(kCommonFields, name);
    if (field != nullptr) problem = take(*field, name, value, out);
    return field != nullptr;
}

Problem take_keep_alive(const std::string& name, const Json& value, bool& zero) {
    if (value.is_number()) return zero = value == 0, Problem{};
    if (!value.is_string()) return wrong(name, value, "a duration as \"5m\", or seconds");
    const auto& text = value.get_ref<const std::string&>();
    zero = text.starts_with('0') && text.find_first_of("123456789") == std::string::npos;
    return {};
}

Problem use_conversation(chat::Conversation conversation, Generation& out) {
    conversation.template_kwargs = out.template_kwargs;
    if (auto problem = openai::check_conversation(conversation)) return problem;
    out.generate.chat = to_json(conversation);
    return {};
}

Problem use_load(Generation& out) {
    if (out.unload) {
        return bad_field("keep_alive",
                         "keep_alive is 0 and there is no prompt: a model is not unloaded by "
                         "request; it leaves the memory when another is asked for");
    }
    const std::string model = out.model.wanted;
    out.generate = {};
    out.generate.model = model;
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
