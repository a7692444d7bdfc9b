#include "daemon/http/dialects/openai/chat_messages.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/chat/json_text.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::openai {
namespace {

using chat::Message;

Problem unsupported(const std::string& field, std::string_view type) {
    return ApiError{400, "unsupported_content",
                    fmt::format("{} is \"{}\"; models here read text alone, so only parts of type "
                                "\"text\" are supported",
                                field, type.substr(0, kQuotedValueBytes)),
                    field};
}

/// A part that is text in one of its names.
Problem take_part(const std::string& field, const Json& part, std::string& out) {
    if (!part.is_object()) return wrong(field, part, "an object with a type");
    std::string type;
    if (!part.contains("type")) return missing_field(field + ".type");
    if (auto problem = take(field + ".type", part["type"], type)) return problem;
    const bool text = type == "text" || type == "input_text" || type == "output_text";
    if (!text && type != "refusal") return unsupported(field + ".type", type);
    const char* const member = text ? "text" : "refusal";
    const std::string full = field + "." + member;
    if (!part.contains(member)) return missing_field(full);
    std::string piece;
    if (auto problem = take(full, part[member], piece)) return problem;
    out += piece;
    return {};
}

Problem take_made_call(const std::string& field, const Json& value, bool typed, chat::Call& out) {
    if (!value.is_object()) return wrong(field, value, "an object");
    if (given(value, "id")) {
        if (auto problem = take(field + ".id", value["id"], out.id)) return problem;
    }
    if (typed && given(value, "type") && value["type"] != "function") {
        return wrong(field + ".type", value["type"], "\"function\", which alone is supported");
    }
    const std::string function = field + ".function";
    if (!given(value, "function")) return missing_field(function);
    const Json& called = value["function"];
    if (!called.is_object()) return wrong(function, called, "an object");
    if (!given(called, "name")) return missing_field(function + ".name");
    if (auto problem = take(function + ".name", called["name"], out.name)) return problem;
    if (!given(called, "arguments")) return out.arguments = "{}", Problem{};
    return take_arguments(function + ".arguments", called["arguments"], out.arguments);
}

/// What an assistant said before OpenAI had tools: one call without an id.
Problem take_function_call(const std::string& field, const Json& value, Message& out) {
    const Json call = {{"function", value}};
    auto problem = take_made_call(field, call, true, out.tool_calls.emplace_back());
    return problem;
}

/// Null is what an assistant says that only calls, or refuses.
Problem take_message_content(const std::string& field, const Json& value, Message& out) {
    if (value.is_null() && out.role == "assistant") return {};
    return take_content(field, value, out.content);
}

Problem take_role(const std::string& field, const Json& value, Message& out) {
    if (auto problem = take(field, value, out.role)) return problem;
    // Templates know neither of the two.
    if (out.role == "developer") out.role = "system";
    if (out.role == "function") out.role = "tool";
    if (out.role == "system" || out.role == "user" || out.role == "assistant" ||
        out.role == "tool") {
        return {};
    }
    return wrong(field, value,
                 "\"system\", \"developer\", \"user\", \"assistant\", \"tool\" or \"function\"");
}

Problem take_refusal(const std::string& field, const Json& value, Message& out) {
    std::string text;
    if (auto problem = take(field, value, text)) return problem;
    out.content += text;
    return {};
}

template <auto kMember>
Problem take_text(const std::string& field, const Json& value, Message& out) {
    return take(field, value, out.*kMember);
}

/// What clients send back of an answer, or for other servers, and what no prompt is made of.
Problem skip_member(const std::string&, const Json&, Message&) {
    return {};
}

constexpr Field<Message> kMessageFields[] = {
    {"role", take_role, false},
    {"content", take_message_content, false},
    {"name", take_text<&Message::name>},
    {"refusal", take_refusal},
    {"reasoning_content", take_text<&Message::reasoning>},
    {"reasoning", take_text<&Message::reasoning>},
    {"tool_calls",
     [](const auto& name, const Json& v, auto& m) { return take_made_calls(name, v, true, m); }},
    {"tool_call_id", take_text<&Message::tool_call_id>},
    {"function_call", take_function_call},
    {"annotations", skip_member},
    {"cache_control", skip_member},
    {"id", skip_member},
    {"provider_specific_fields", skip_member},
    {"reasoning_details", skip_member},
};

Problem take_message(const std::string& where, const Json& value, Message& out) {
    if (!value.is_object()) return wrong(where, value, "an object with a role and a content");
    // First, as the others depend on it.
    if (!value.contains("role")) return missing_field(where + ".role");
    for (const auto& [name, member] : value.items()) {
        const Field<Message>* field = find_field(kMessageFields, name);
        const std::string full = fmt::format("{}.{}", where, name.substr(0, kQuotedValueBytes));
        if (field == nullptr && !member.is_null()) {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
        if (field == nullptr || name == "role") continue;
        if (auto problem = take(*field, full, member, out)) return problem;
    }
    if (!value.contains("content") && out.role != "assistant") {
        return missing_field(where + ".content");
    }
    return {};
}

/// The name of the tool whose result this is, which templates want and clients leave out.
void name_tool(const std::vector<Message>& before, Message& out) {
    if (out.role != "tool" || !out.name.empty() || out.tool_call_id.empty()) return;
    for (auto message = before.rbegin(); message != before.rend(); ++message) {
        for (const chat::Call& call : message->tool_calls) {
            if (call.id != out.tool_call_id) continue;
            out.name = call.name;
            return;
        }
        // Results follow their calls; only other results stand between.
        if (message->role == "user") return;
    }
}

}  // namespace

Problem take_made_calls(const std::string& field, const Json& value, bool typed,
                        chat::Message& out) {
    if (!value.is_array()) return wrong(field, value, "an array");
    if (value.size() > chat::kMaxCallsInMessage) {
        return bad_field(field, fmt::format("{} has {} calls; at most {} are taken", field,
                                            value.size(), chat::kMaxCallsInMessage));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string one = fmt::format("{}[{}]", field, i);
        if (auto problem = take_made_call(one, value[i], typed, out.tool_calls.emplace_back()))
            return problem;
    }
    return {};
}

Problem take_content(const std::string& field, const Json& value, std::string& out) {
    if (value.is_string()) return take(field, value, out);
    if (!value.is_array()) return wrong(field, value, "a string or an array of parts");
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (auto problem = take_part(fmt::format("{}[{}]", field, i), value[i], out)) {
            return problem;
        }
    }
    return {};
}

Problem take_arguments(const std::string& field, const Json& value, std::string& out) {
    if (value.is_object()) {
        out = dump(value);
    } else if (auto problem = take(field, value, out)) {
        return problem;
    }
    if (chat::trimmed(out).empty()) out = "{}";
    if (chat::is_json_object(out, chat::kMaxArgumentDepth)) return {};
    return bad_field(field, fmt::format("{} is not the text of a JSON object of at most {} levels",
                                        field, chat::kMaxArgumentDepth));
}

Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out) {
    if (!value.is_array() || value.empty()) return wrong(name, value, "a non-empty array");
    if (value.size() > chat::kMaxMessages) {
        return bad_field(name, fmt::format("there are {} messages; at most {} are allowed",
                                           value.size(), chat::kMaxMessages));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string where = fmt::format("{}[{}]", name, i);
        Message message;
        if (value[i].is_object() && value[i].contains("role")) {
            if (auto problem = take_role(where + ".role", value[i]["role"], message)) {
                return problem;
            }
        }
        if (auto problem = take_message(where, value[i], message)) return problem;
        name_tool(out.messages, message);
        out.messages.push_back(std::move(message));
    }
    return {};
}

}  // namespace shoal::http::openai
