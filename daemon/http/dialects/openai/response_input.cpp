// The items of a response's input, which are a conversation cut smaller than into messages.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/chat_messages.hpp"
#include "daemon/http/dialects/openai/responses.hpp"

namespace shoal::http::openai {
namespace {

using chat::Conversation;
using chat::Message;

/// A member of an item that must be there.
Problem take_member(const std::string& field, const Json& item, const char* name,
                    std::string& out) {
    const std::string full = field + "." + name;
    if (!given(item, name)) return missing_field(full);
    return take(full, item[name], out);
}

/// The assistant's message that goes on; a new one when the last message is somebody else's.
Message& assistant(Conversation& out) {
    if (out.messages.empty() || out.messages.back().role != "assistant") {
        out.messages.emplace_back().role = "assistant";
    }
    return out.messages.back();
}

Problem take_message_item(const std::string& field, const Json& item, Conversation& out) {
    std::string role;
    if (auto problem = take_member(field, item, "role", role)) return problem;
    if (role == "developer") role = "system";
    if (role != "user" && role != "system" && role != "assistant") {
        return wrong(field + ".role", item["role"],
                     "\"user\", \"system\", \"developer\" or \"assistant\"");
    }
    if (!given(item, "content")) return missing_field(field + ".content");
    // Its reasoning came before it as an item of its own.
    const bool goes_on = role == "assistant" && !out.messages.empty() &&
                         out.messages.back().role == role && out.messages.back().content.empty() &&
                         out.messages.back().tool_calls.empty();
    if (!goes_on) out.messages.emplace_back().role = role;
    return take_content(field + ".content", item["content"], out.messages.back().content);
}

Problem take_call_item(const std::string& field, const Json& item, Conversation& out) {
    chat::Call call;
    if (auto problem = take_member(field, item, "call_id", call.id)) return problem;
    if (auto problem = take_member(field, item, "name", call.name)) return problem;
    if (!given(item, "arguments")) return missing_field(field + ".arguments");
    if (auto problem = take_arguments(field + ".arguments", item["arguments"], call.arguments)) {
        return problem;
    }
    assistant(out).tool_calls.push_back(std::move(call));
    return {};
}

Problem take_result_item(const std::string& field, const Json& item, Conversation& out) {
    Message message;
    message.role = "tool";
    if (auto problem = take_member(field, item, "call_id", message.tool_call_id)) return problem;
    if (!given(item, "output")) return missing_field(field + ".output");
    if (auto problem = take_content(field + ".output", item["output"], message.content)) {
        return problem;
    }
    for (const Message& before : out.messages) {
        for (const chat::Call& call : before.tool_calls) {
            if (call.id == message.tool_call_id) message.name = call.name;
        }
    }
    out.messages.push_back(std::move(message));
    return {};
}

/// What the model thought, as it was told: in full or as a summary.
Problem take_reasoning_item(const std::string& field, const Json& item, Conversation& out) {
    std::string text;
    for (const char* name : {"content", "summary"}) {
        if (!given(item, name) || !text.empty()) continue;
        const std::string full = field + "." + name;
        const Json& parts = item[name];
        if (!parts.is_array()) return wrong(full, parts, "an array of parts");
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const std::string part = fmt::format("{}[{}]", full, i);
            if (!parts[i].is_object()) return wrong(part, parts[i], "an object");
            std::string piece;
            if (auto problem = take_member(part, parts[i], "text", piece)) return problem;
            text += piece;
        }
    }
    if (text.empty()) return {};
    // It is of the answer that follows it, not of one before.
    Message& message = out.messages.emplace_back();
    message.role = "assistant";
    message.reasoning = std::move(text);
    return {};
}

/// One of the items that an answer told in full. "item_reference" is no type of those.
Problem take_named(const std::string& field, const Json& item, KeptTexts* kept, Json& out) {
    std::string id;
    if (auto problem = take_member(field, item, "id", id)) return problem;
    auto found = find_item(kept, id);
    if (found) return out = *std::move(found), Problem{};
    return ApiError{400, "item_not_found",
                    fmt::format("there is no item \"{}\" here: its response was not stored, was "
                                "given up for later ones or came from another device; send the "
                                "item itself",
                                id.substr(0, kQuotedBytes)),
                    field + ".id"};
}

Problem take_item(const std::string& field, const Json& item, KeptTexts* kept, Conversation& out) {
    if (!item.is_object()) return wrong(field, item, "an object");
    std::string type = "message";
    if (given(item, "type")) {
        if (auto problem = take(field + ".type", item["type"], type)) return problem;
    }
    if (type == "message") return take_message_item(field, item, out);
    if (type == "function_call") return take_call_item(field, item, out);
    if (type == "function_call_output") return take_result_item(field, item, out);
    if (type == "reasoning") return take_reasoning_item(field, item, out);
    if (type == "item_reference") {
        Json named;
        if (auto problem = take_named(field, item, kept, named)) return problem;
        return take_item(field, named, nullptr, out);
    }
    return wrong(field + ".type", item["type"],
                 "\"message\", \"function_call\", \"function_call_output\", \"reasoning\" or "
                 "\"item_reference\"");
}

}  // namespace

Problem take_input(const std::string& name, const Json& value, KeptTexts* kept, Conversation& out) {
    if (value.is_string()) {
        Message& message = out.messages.emplace_back();
        message.role = "user";
        return take(name, value, message.content);
    }
    if (!value.is_array() || value.empty()) {
        return wrong(name, value, "a string or a non-empty array of items");
    }
    if (value.size() > chat::kMaxMessages) {
        return bad_field(name, fmt::format("there are {} items; at most {} are allowed",
                                           value.size(), chat::kMaxMessages));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (auto problem = take_item(fmt::format("{}[{}]", name, i), value[i], kept, out)) {
            return problem;
        }
    }
    return {};
}

}  // namespace shoal::http::openai
