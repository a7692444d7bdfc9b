#include "daemon/chat/tools.hpp"

#include <algorithm>

#include "daemon/chat/json_text.hpp"
#include "daemon/chat/pythonic.hpp"

namespace shoal::chat {
namespace {

constexpr std::size_t kMaxNameBytes = 256;

bool could_be_a_name(std::string_view name) noexcept {
    const auto fits = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("_-.:/").find(c) != std::string_view::npos ||
               static_cast<unsigned char>(c) >= 0x80;
    };
    return !name.empty() && name.size() <= kMaxNameBytes &&
           std::all_of(name.begin(), name.end(), fits);
}

std::string_view member(std::string_view object, std::string_view name) {
    for (const JsonMember& each : members(object).value_or(std::vector<JsonMember>{})) {
        if (each.name == name) return each.value;
    }
    return {};
}

/// The types that a schema allows, as far as it says so.
void collect_types(std::string_view schema, std::vector<std::string>& types) {
    for (const JsonMember& each : members(schema).value_or(std::vector<JsonMember>{})) {
        if (each.name == "type") {
            if (auto one = string_value(each.value)) types.push_back(*one);
            for (const std::string_view item :
                 items(each.value).value_or(std::vector<std::string_view>{})) {
                types.push_back(string_value(item).value_or(""));
            }
        } else if (each.name == "anyOf" || each.name == "oneOf") {
            for (const std::string_view item :
                 items(each.value).value_or(std::vector<std::string_view>{})) {
                // One level is what schemas of tools have.
                types.push_back(string_value(member(item, "type")).value_or(""));
            }
        }
    }
}

}  // namespace

ToolTable::Kind ToolTable::kind_of(std::string_view schema) {
    std::vector<std::string> types;
    collect_types(schema, types);
    if (types.empty()) {
        // Without a type, choices that are all strings say the same.
        const auto choices = items(member(schema, "enum"));
        if (!choices || choices->empty()) return Kind::unknown;
        const bool strings = std::all_of(choices->begin(), choices->end(),
                                         [](std::string_view item) { return item.front() == '"'; });
        return strings ? Kind::string : Kind::unknown;
    }
    const auto strings = std::count(types.begin(), types.end(), "string");
    const auto nulls = std::count(types.begin(), types.end(), "null");
    const auto all = static_cast<std::ptrdiff_t>(types.size());
    if (strings == all) return Kind::string;
    return strings > 0 && strings + nulls == all ? Kind::string_or_null : Kind::other;
}

ToolTable::ToolTable(const std::vector<Tool>& tools) {
    for (const Tool& tool : tools) {
        auto& kinds = kinds_[tool.name];
        const std::string_view properties = member(tool.parameters, "properties");
        for (const JsonMember& each : members(properties).value_or(std::vector<JsonMember>{})) {
            kinds[each.name] = kind_of(each.value);
        }
    }
}

bool ToolTable::may_call(std::string_view name) const {
    return kinds_.empty() ? could_be_a_name(name) : kinds_.find(name) != kinds_.end();
}

std::string ToolTable::value(std::string_view tool, std::string_view parameter,
                             std::string_view text) const {
    Kind kind = Kind::unknown;
    if (const auto found = kinds_.find(tool); found != kinds_.end()) {
        const auto named = found->second.find(parameter);
        if (named != found->second.end()) kind = named->second;
    }
    const std::string_view inner = trimmed(text);
    if (kind == Kind::string) return json_string(text);
    if (kind == Kind::string_or_null) return inner == "null" ? "null" : json_string(text);
    // A quoted text without a schema may be meant with its quotes; with one it is JSON.
    if (is_json(inner)) return std::string(inner);
    return python_literal(inner).value_or(json_string(text));
}

std::vector<std::string> ToolTable::texts_of(std::string_view tool) const {
    std::vector<std::string> names;
    const auto found = kinds_.find(tool);
    if (found == kinds_.end()) return names;
    for (const auto& [name, kind] : found->second) {
        if (kind == Kind::string || kind == Kind::string_or_null) names.push_back(name);
    }
    return names;
}

}  // namespace shoal::chat
