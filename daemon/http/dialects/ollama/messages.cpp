// The messages of /api/chat, as the models' templates want them.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/ollama/chat.hpp"
#include "daemon/http/dialects/openai/chat_messages.hpp"

namespace shoal::http::ollama {
namespace {

using chat::Message;

Problem take_role(const std::string& field, const Json& value, Message& out) {
    if (value != "system" && value != "user" && value != "assistant" && value != "tool") {
        return wrong(field, value, "\"system\", \"user\", \"assistant\" or \"tool\"");
    }
    return take(field, value, out.role);
}

template <auto kMember>
Problem take_text(const std::string& field, const Json& value, Message& out) {
    return take(field, value, out.*kMember);
}

constexpr Field<Message> kMessageFields[] = {
    {"role", take_role, false},
    {"content", take_text<&Message::content>},
    {"thinking", take_text<&Message::reasoning>},
    {"tool_calls", [](const auto& name, const Json& v,
                      auto& m) { return openai::take_made_calls(name, v, false, m); }},
    {"tool_name", take_text<&Message::name>},
    {"name", take_text<&Message::name>},
    {"tool_call_id", take_text<&Message::tool_call_id>},
    {"images", [](const auto& name, const Json& v, auto&) { return refuse_images(name, v); }},
};

Problem take_message(const std::string& where, const Json& value, Message& out) {
    if (!value.is_object()) return wrong(where, value, "an object with a role and a content");
    if (!value.contains("role")) return missing_field(where + ".role");
    for (const auto& [name, member] : value.items()) {
        const Field<Message>* field = find_field(kMessageFields, name);
        const std::string full = fmt::format("{}.{}", where, name.substr(0, kQuotedValueBytes));
        if (field == nullptr && member.is_null()) continue;
        if (field == nullptr) {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
        if (auto problem = take(*field, full, member, out)) return problem;
    }
    return {};
}

/// Of which call this is the result: results without a name come in the order of the calls.
void name_tool(const std::vector<Message>& before, Message& out) {
    if (out.role != "tool") return;
    std::size_t results = 0;
    auto message = before.rbegin();
    while (message != before.rend() && message->role == "tool") ++message, ++results;
    if (message == before.rend()) return;
    for (const chat::Call& call : message->tool_calls) {
        if (out.tool_call_id.empty() || call.id != out.tool_call_id) continue;
        if (out.name.empty()) out.name = call.name;
        return;
    }
    if (results >= message->tool_calls.size()) return;
    const chat::Call& call = message->tool_calls[results];
    if (out.name.empty() && out.tool_call_id.empty()) out.name = call.name;
    if (out.name == call.name && out.tool_call_id.empty()) out.tool_call_id = call.id;
}

}  // namespace

Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out) {
    if (!value.is_array()) return wrong(name, value, "an array");
    if (value.size() > chat::kMaxMessages) {
        return bad_field(name, fmt::format("there are {} messages; at most {} are allowed",
                                           value.size(), chat::kMaxMessages));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        Message message;
        if (auto problem = take_message(fmt::format("{}[{}]", name, i), value[i], message)) {
            return problem;
        }
        name_tool(out.messages, message);
        out.messages.push_back(std::move(message));
    }
    return {};
}

Problem refuse_images(const std::string& name, const Json& value) {
    if (value.is_array() && value.empty()) return {};
    return ApiError{400, "unsupported_content",
                    fmt::format("{} are given; models here read text alone", name), name};
}

}  // namespace shoal::http::ollama
