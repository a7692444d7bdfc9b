// Messages of blocks, as the models' templates want them.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/anthropic/messages.hpp"
#include "daemon/http/dialects/openai/chat_messages.hpp"

namespace shoal::http::anthropic {
namespace {

using chat::Message;

// What one message becomes.
struct Parts {
    std::vector<Message> results;  // of tools
    Message rest;
    bool said = false;  // something besides results
};

Problem take_text_block(const std::string& field, const Json& block, std::string& out) {
    if (!given(block, "text")) return missing_field(field + ".text");
    std::string text;
    if (auto problem = take(field + ".text", block["text"], text)) return problem;
    out += text;
    return {};
}

// The text of a block's "content": a text, or blocks of text.
Problem take_texts(const std::string& field, const Json& value, std::string& out) {
    if (value.is_string()) return take(field, value, out);
    if (!value.is_array()) return wrong(field, value, "a text or an array of blocks");
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string one = fmt::format("{}[{}]", field, i);
        if (!value[i].is_object()) return wrong(one, value[i], "an object");
        if (!given(value[i], "type")) return missing_field(one + ".type");
        if (value[i]["type"] != "text") {
            return wrong(one + ".type", value[i]["type"], "\"text\": models here read text alone");
        }
        if (auto problem = take_text_block(one, value[i], out)) return problem;
    }
    return {};
}

// {"type": "tool_use", "id", "name", "input"}
Problem take_use(const std::string& field, const Json& block, Parts& out) {
    chat::Call& call = out.rest.tool_calls.emplace_back();
    for (const char* name : {"id", "name", "input"}) {
        if (!given(block, name)) return missing_field(field + "." + name);
    }
    if (auto problem = take(field + ".id", block["id"], call.id)) return problem;
    if (auto problem = take(field + ".name", block["name"], call.name)) return problem;
    if (!block["input"].is_object()) return wrong(field + ".input", block["input"], "an object");
    return openai::take_arguments(field + ".input", block["input"], call.arguments);
}

// {"type": "tool_result", "tool_use_id", "content"?, "is_error"?}
Problem take_result(const std::string& field, const Json& block, Parts& out) {
    Message& result = out.results.emplace_back();
    result.role = "tool";
    if (!given(block, "tool_use_id")) return missing_field(field + ".tool_use_id");
    if (auto problem = take(field + ".tool_use_id", block["tool_use_id"], result.tool_call_id)) {
        return problem;
    }
    bool failed = false;
    if (given(block, "is_error")) {
        if (auto problem = take(field + ".is_error", block["is_error"], failed)) return problem;
    }
    if (failed) result.content = "Error: ";
    if (!given(block, "content")) return {};
    std::string text;
    if (auto problem = take_texts(field + ".content", block["content"], text)) return problem;
    result.content += text;
    return {};
}

Problem take_block(const std::string& field, const Json& block, bool assistant, Parts& out) {
    if (!block.is_object()) return wrong(field, block, "an object");
    if (!given(block, "type")) return missing_field(field + ".type");
    const Json& type = block["type"];
    if (type == "tool_result" && !assistant) return take_result(field, block, out);
    out.said = true;
    if (type == "text") return take_text_block(field, block, out.rest.content);
    if (assistant && type == "tool_use") return take_use(field, block, out);
    if (assistant && type == "redacted_thinking") return {};
    if (assistant && type == "thinking") {
        if (!given(block, "thinking")) return missing_field(field + ".thinking");
        return take(field + ".thinking", block["thinking"], out.rest.reasoning);
    }
    return wrong(field + ".type", type,
                 assistant ? "\"text\", \"thinking\" or \"tool_use\""
                           : "\"text\" or \"tool_result\": models here read text alone");
}

Problem take_message(const std::string& field, const Json& value, chat::Conversation& out) {
    if (!value.is_object()) return wrong(field, value, "an object");
    for (const auto& [name, member] : value.items()) {
        if (name != "role" && name != "content") return unknown_field(field + "." + name);
    }
    for (const char* name : {"role", "content"}) {
        if (!given(value, name)) return missing_field(field + "." + name);
    }
    const Json &role = value["role"], &content = value["content"];
    if (role != "user" && role != "assistant") {
        return wrong(field + ".role", role, "\"user\" or \"assistant\"");
    }
    Parts parts;
    parts.rest.role = role.get<std::string>();
    if (content.is_string()) {
        parts.said = true;
        parts.rest.content = content.get<std::string>();
    } else if (!content.is_array()) {
        return wrong(field + ".content", content, "a text or an array of blocks");
    } else {
        for (std::size_t i = 0; i < content.size(); ++i) {
            const std::string one = fmt::format("{}.content[{}]", field, i);
            if (auto problem = take_block(one, content[i], role == "assistant", parts)) {
                return problem;
            }
        }
    }
    for (Message& result : parts.results) out.messages.push_back(std::move(result));
    if (parts.said || parts.results.empty()) out.messages.push_back(std::move(parts.rest));
    return {};
}

}  // namespace

Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out) {
    if (!value.is_array() || value.empty()) return wrong(name, value, "an array of messages");
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (out.messages.size() > chat::kMaxMessages) break;  // check_conversation() says so
        if (auto problem = take_message(fmt::format("{}[{}]", name, i), value[i], out)) {
            return problem;
        }
    }
    return {};
}

Problem take_system(const std::string& name, const Json& value, chat::Conversation& out) {
    Message system;
    system.role = "system";
    if (auto problem = take_texts(name, value, system.content)) return problem;
    out.messages.insert(out.messages.begin(), std::move(system));
    return {};
}

}  // namespace shoal::http::anthropic
