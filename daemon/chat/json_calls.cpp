#include <algorithm>

#include "daemon/chat/call_readers.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// An object, or a string that says one: some models write the arguments so.
std::optional<std::string> arguments_of(std::string_view value) {
    if (value.empty() || value == "null") return "{}";
    if (value.front() == '{') return std::string(value);
    std::optional<std::string> inner = string_value(value);
    if (!inner || !is_json_object(*inner)) return std::nullopt;
    return inner;
}

struct Parts {
    std::string_view name, arguments, id, function;
};

Parts parts_of(const std::vector<JsonMember>& object) {
    Parts parts;
    for (const JsonMember& each : object) {
        if (each.name == "name" || each.name == "tool_name") parts.name = each.value;
        if (each.name == "arguments" || each.name == "parameters") parts.arguments = each.value;
        if (each.name == "id" || each.name == "tool_call_id") parts.id = each.value;
        if (each.name == "function") parts.function = each.value;
    }
    return parts;
}

std::optional<Call> one_call(std::string_view text, bool single_member) {
    const auto object = members(text);
    if (!object) return std::nullopt;
    Parts parts = parts_of(*object);
    if (!parts.function.empty() && parts.function.front() == '{') {
        const std::string_view id = parts.id;
        parts = parts_of(members(parts.function).value_or(std::vector<JsonMember>{}));
        parts.id = id;
    } else if (parts.name.empty()) {
        parts.name = parts.function;
    }
    if (single_member && parts.name.empty() && object->size() == 1) {
        auto arguments = arguments_of(object->front().value);
        if (!arguments) return std::nullopt;
        return Call{{}, object->front().name, std::move(*arguments)};
    }
    auto name = string_value(parts.name);
    auto arguments = arguments_of(parts.arguments);
    if (!name || !arguments) return std::nullopt;
    return Call{string_value(parts.id).value_or(""), std::move(*name), std::move(*arguments)};
}

/// What is within {"tool_call": ...} or {"tool_calls": ...}, or the text itself.
std::string_view unwrapped(std::string_view text) {
    const auto object = members(text);
    if (!object || object->size() != 1) return text;
    const JsonMember& only = object->front();
    return only.name == "tool_call" || only.name == "tool_calls" ? only.value : text;
}

}  // namespace

std::optional<std::vector<Call>> json_calls(std::string_view text, bool single_member) {
    const std::string_view inner = single_member ? trimmed(text) : unwrapped(trimmed(text));
    std::vector<std::string_view> texts{inner};
    if (!inner.empty() && inner.front() == '[') {
        auto list = items(inner);
        if (!list || list->empty()) return std::nullopt;
        texts = std::move(*list);
    }
    std::vector<Call> calls;
    for (const std::string_view each : texts) {
        auto call = one_call(each, single_member);
        if (!call) return std::nullopt;
        calls.push_back(std::move(*call));
    }
    return calls;
}

}  // namespace shoal::chat
