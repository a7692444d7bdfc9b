#include "daemon/http/dialects/anthropic/messages.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/chat_tools.hpp"

namespace shoal::http::anthropic {
namespace {

using chat::ToolChoice;
using mesh::messages::TokenizeRequest;
using Body = MessagesRequest;

Problem ignore(const std::string&, const Json&, Body&) {
    return {};
}

Problem take_max_tokens(const std::string& name, const Json& value, Body& out) {
    if (auto problem = take(name, value, out.generate.max_tokens)) return problem;
    if (out.generate.max_tokens == 0) return wrong(name, value, "a number from 1 on");
    out.has_limit = true;
    return {};
}

// [{"name", "description"?, "input_schema", "type"?: "custom"}]
Problem take_tools(const std::string& name, const Json& value, Body& out) {
    if (!value.is_array()) return wrong(name, value, "an array of tools");
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string field = fmt::format("{}[{}]", name, i);
        const Json& tool = value[i];
        if (!tool.is_object()) return wrong(field, tool, "an object");
        if (given(tool, "type") && tool["type"] != "custom") {
            return wrong(field + ".type", tool["type"],
                         "\"custom\": tools of the server's own are not here");
        }
        for (const char* needed : {"name", "input_schema"}) {
            if (!given(tool, needed)) return missing_field(field + "." + needed);
        }
        if (!tool["input_schema"].is_object()) {
            return wrong(field + ".input_schema", tool["input_schema"], "a JSON schema");
        }
        chat::Tool& taken = out.conversation.tools.emplace_back();
        if (auto problem = take(field + ".name", tool["name"], taken.name)) return problem;
        if (given(tool, "description")) {
            const Json& text = tool["description"];
            if (auto problem = take(field + ".description", text, taken.description)) {
                return problem;
            }
        }
        taken.parameters = tool["input_schema"].dump();
    }
    return {};
}

// {"type": "auto" | "any" | "tool" | "none", "name"?, "disable_parallel_tool_use"?}
Problem take_choice(const std::string& name, const Json& value, Body& out) {
    if (!value.is_object()) return wrong(name, value, "an object");
    if (!given(value, "type")) return missing_field(name + ".type");
    ToolChoice& choice = out.conversation.tool_choice;
    const Json& type = value["type"];
    if (type == "any") {
        choice.kind = ToolChoice::Kind::required;
    } else if (type == "none") {
        choice.kind = ToolChoice::Kind::none;
    } else if (type == "tool") {
        choice.kind = ToolChoice::Kind::named;
        if (!given(value, "name")) return missing_field(name + ".name");
        if (auto problem = take(name + ".name", value["name"], choice.name)) return problem;
    } else if (type != "auto") {
        return wrong(name + ".type", type, "\"auto\", \"any\", \"tool\" or \"none\"");
    }
    if (!given(value, "disable_parallel_tool_use")) return {};
    bool one = false;
    const std::string field = name + ".disable_parallel_tool_use";
    if (auto problem = take(field, value["disable_parallel_tool_use"], one)) return problem;
    out.conversation.parallel_tool_calls = !one;
    return {};
}

// {"type": "enabled" | "adaptive" | "disabled", "budget_tokens"?}: templates know yes and no.
Problem take_thinking(const std::string& name, const Json& value, Body& out) {
    if (!value.is_object()) return wrong(name, value, "an object");
    if (!given(value, "type")) return missing_field(name + ".type");
    const Json& type = value["type"];
    const bool on = type == "enabled" || type == "adaptive";
    if (!on && type != "disabled") {
        return wrong(name + ".type", type, "\"enabled\", \"adaptive\" or \"disabled\"");
    }
    out.thinks = on;
    return {};
}

// "low" to "max"; templates know three.
Problem take_effort(const std::string& name, const Json& value, Body& out) {
    if (value == "low" || value == "medium" || value == "high") {
        return take(name, value, out.effort);
    }
    if (value == "xhigh" || value == "max") return out.effort = "high", Problem{};
    return wrong(name, value, "\"low\", \"medium\", \"high\", \"xhigh\" or \"max\"");
}

// {"format"?: {"type": "json_schema", "schema"}, "effort"?}
Problem take_output(const std::string& name, const Json& value, Body& out) {
    if (!value.is_object()) return wrong(name, value, "an object");
    for (const auto& [key, member] : value.items()) {
        const std::string full = name + "." + key.substr(0, kQuotedValueBytes);
        if (member.is_null()) continue;
        if (key == "effort") {
            if (auto problem = take_effort(full, member, out)) return problem;
        } else if (key == "format") {
            if (auto problem = openai::take_format(full, member, false, out.generate.constraint)) {
                return problem;
            }
        } else {
            return unknown_field(full);
        }
    }
    return {};
}

std::string template_variables(const Body& body) {
    Json out = Json::object();
    if (body.thinks) out["enable_thinking"] = *body.thinks;
    if (!body.effort.empty()) out["reasoning_effort"] = body.effort;
    return out.empty() ? std::string() : out.dump();
}

constexpr Field<Body> kFields[] = {
    {"model",
     [](const auto& name, const Json& v, auto& b) { return take(name, v, b.generate.model); }},
    {"max_tokens", take_max_tokens},
    {"messages", [](const auto& name, const Json& v,
                    auto& b) { return take_messages(name, v, b.conversation); }},
    {"system",
     [](const auto& name, const Json& v, auto& b) { return take_system(name, v, b.conversation); }},
    {"tools", take_tools},
    {"tool_choice", take_choice},
    {"thinking", take_thinking},
    {"output_config", take_output},
    {"stream", [](const auto& name, const Json& v, auto& b) { return take(name, v, b.stream); }},
    {"stop_sequences",
     [](const auto& name, const Json& v, auto& b) { return take_stop(name, v, b); }},
    {"metadata", ignore},
    {"service_tier", ignore},
    {"cache_control", ignore},
};

Problem take_field(const std::string& name, const Json& value, Body& out) {
    if (const auto* field = find_field(kFields, name)) return take(*field, name, value, out);
    for (const char* shared : {"temperature", "top_p", "top_k", "min_p", "seed", "priority"}) {
        if (name == shared) return take(*sampling_field(name), name, value, out);
    }
    return unknown_field(name);
}

std::variant<Body, ApiError> parse(std::string_view text) {
    Json object;
    if (auto problem = read_json(text, object)) return *std::move(problem);
    Body body;
    // The system's message comes first, wherever it stands.
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_field(name, value, body)) return *std::move(problem);
    }
    if (!given(object, "messages")) return missing_field("messages");
    body.conversation.template_kwargs = template_variables(body);
    if (auto problem = openai::check_conversation(body.conversation)) return *std::move(problem);
    const ToolChoice& choice = body.conversation.tool_choice;
    const bool calls =
        choice.kind == ToolChoice::Kind::required || choice.kind == ToolChoice::Kind::named;
    if (calls && body.conversation.tools.empty()) {
        return bad_field("tool_choice", "tool_choice wants a tool to be used, and tools is empty");
    }
    body.generate.chat = to_json(body.conversation);
    settle(body);
    if (auto problem = refused(body.generate, "chat", "messages")) return *std::move(problem);
    return body;
}

}  // namespace

std::variant<MessagesRequest, ApiError> parse_messages(std::string_view body) {
    auto parsed = parse(body);
    if (auto* request = std::get_if<Body>(&parsed); request != nullptr && !request->has_limit) {
        return missing_field("max_tokens");
    }
    return parsed;
}

std::variant<TokenizeRequest, ApiError> parse_count(std::string_view body) {
    auto parsed = parse(body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    TokenizeRequest request;
    request.model = std::move(std::get<0>(parsed).generate.model);
    request.chat = std::move(std::get<0>(parsed).generate.chat);
    return request;
}

}  // namespace shoal::http::anthropic
