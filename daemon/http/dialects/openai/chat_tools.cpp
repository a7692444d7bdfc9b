#include "daemon/http/dialects/openai/chat_tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/http/json_output.hpp"

namespace shoal::http::openai {
namespace {

using chat::Conversation;
using chat::Tool;
using chat::ToolChoice;
using mesh::messages::Constraint;

constexpr std::size_t kMaxToolNameBytes = 256;

/// What a name may hold: letters, digits and what servers of tools put between them.
bool is_tool_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= kMaxToolNameBytes &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("_-.:/").find(c) != std::string_view::npos;
           });
}

Problem take_tool_name(const std::string& field, const Json& value, std::string& out) {
    if (auto problem = take(field, value, out)) return problem;
    if (is_tool_name(out)) return {};
    return wrong(
        field, value,
        fmt::format("1 to {} letters, digits and characters of \"_-.:/\"", kMaxToolNameBytes));
}

Problem take_parameters(const std::string& field, const Json& value, Tool& out) {
    if (!value.is_object()) return wrong(field, value, "a JSON schema, which is an object");
    out.parameters = dump(value);
    return {};
}

constexpr Field<Tool> kFunctionFields[] = {
    {"type", [](const auto& name, const Json& v, auto&) { return accept_string(name, v); }},
    {"name",
     [](const auto& name, const Json& v, auto& t) { return take_tool_name(name, v, t.name); },
     false},
    {"description",
     [](const auto& name, const Json& v, auto& t) { return take(name, v, t.description); }},
    {"parameters", take_parameters},
    // Calls are read by the tool's schema either way.
    {"strict", [](const auto& name, const Json& v, auto&) { return accept_bool(name, v); }},
};

bool has_tool(const Conversation& conversation, const std::string& name) {
    return std::any_of(conversation.tools.begin(), conversation.tools.end(),
                       [&](const Tool& tool) { return tool.name == name; });
}

/// The name of {"type": "function", ...}, which must be a tool's.
Problem take_chosen(const std::string& field, const Json& value, bool nested,
                    const Conversation& conversation, std::string& out) {
    if (!value.is_object()) return wrong(field, value, "an object that names a function");
    if (!given(value, "type") || value["type"] != "function") {
        return bad_field(
            field + ".type",
            fmt::format("{}.type is {}; expected \"function\", as there are no other "
                        "tools",
                        field,
                        value.contains("type") ? quoted(value["type"]) : std::string("missing")));
    }
    const std::string where = nested ? field + ".function" : field;
    if (nested && !given(value, "function")) return missing_field(where);
    const Json& holder = nested ? value["function"] : value;
    if (!holder.is_object()) return wrong(where, holder, "an object with a name");
    if (!given(holder, "name")) return missing_field(where + ".name");
    if (auto problem = take(where + ".name", holder["name"], out)) return problem;
    if (has_tool(conversation, out)) return {};
    return bad_field(where + ".name", fmt::format("{}.name is {}; no tool is called so", where,
                                                  quoted(holder["name"])));
}

Problem take_word(const std::string& name, const Json& value, ToolChoice& out) {
    if (value == "auto") return out.kind = ToolChoice::Kind::automatic, Problem{};
    if (value == "none") return out.kind = ToolChoice::Kind::none, Problem{};
    if (value == "required") return out.kind = ToolChoice::Kind::required, Problem{};
    return wrong(name, value,
                 "\"none\", \"auto\", \"required\" or an object that names a function");
}

/// {"mode", "tools"}: the other tools are not shown to the model, which is to the same effect.
Problem take_allowed(const std::string& name, const Json& value, bool nested, Conversation& out) {
    if (!value.is_object()) return wrong(name, value, "an object with mode and tools");
    if (!given(value, "mode")) return missing_field(name + ".mode");
    if (auto problem = take_word(name + ".mode", value["mode"], out.tool_choice)) return problem;
    if (!given(value, "tools")) return missing_field(name + ".tools");
    const Json& list = value["tools"];
    if (!list.is_array()) return wrong(name + ".tools", list, "an array");
    std::vector<std::string> names;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string field = fmt::format("{}.tools[{}]", name, i);
        if (auto problem = take_chosen(field, list[i], nested, out, names.emplace_back())) {
            return problem;
        }
    }
    std::erase_if(out.tools, [&](const Tool& tool) {
        return std::find(names.begin(), names.end(), tool.name) == names.end();
    });
    return {};
}

/// A schema's text, for answers that it describes.
Problem take_schema(const std::string& field, const Json& value, Constraint& out) {
    if (!value.is_object()) return wrong(field, value, "a JSON schema, which is an object");
    out = {Constraint::Kind::json_schema, dump(value)};
    if (out.text.size() <= mesh::messages::kMaxGrammarBytes) return {};
    return bad_field(field, fmt::format("{} has {} bytes; at most {} are allowed", field,
                                        out.text.size(), mesh::messages::kMaxGrammarBytes));
}

}  // namespace

Problem take_function(const std::string& field, const Json& value, Tool& out) {
    if (!value.is_object()) return wrong(field, value, "an object that describes a function");
    for (const auto& [name, member] : value.items()) {
        const std::string full = fmt::format("{}.{}", field, name.substr(0, kQuotedValueBytes));
        const Field<Tool>* known = find_field(kFunctionFields, name);
        if (known == nullptr) {
            if (member.is_null()) continue;
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
        if (auto problem = take(*known, full, member, out)) return problem;
    }
    if (out.name.empty()) return missing_field(field + ".name");
    return {};
}

Problem take_tools(const std::string& name, const Json& value, Conversation& out) {
    if (!value.is_array()) return wrong(name, value, "an array");
    if (value.size() > chat::kMaxTools) {
        return bad_field(name, fmt::format("there are {} tools; at most {} are allowed",
                                           value.size(), chat::kMaxTools));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string field = fmt::format("{}[{}]", name, i);
        if (!value[i].is_object()) return wrong(field, value[i], "an object");
        if (given(value[i], "type") && value[i]["type"] != "function") {
            return wrong(field + ".type", value[i]["type"],
                         "\"function\", which alone is supported");
        }
        if (!given(value[i], "function")) return missing_field(field + ".function");
        if (auto problem = take_function(field + ".function", value[i]["function"],
                                         out.tools.emplace_back())) {
            return problem;
        }
    }
    return {};
}

Problem take_tool_choice(const std::string& name, const Json& value, bool nested,
                         Conversation& out) {
    ToolChoice& choice = out.tool_choice;
    if (value.is_object() && given(value, "type") && value["type"] == "allowed_tools") {
        if (nested && !given(value, "allowed_tools")) {
            return missing_field(name + ".allowed_tools");
        }
        const std::string where = nested ? name + ".allowed_tools" : name;
        if (auto problem =
                take_allowed(where, nested ? value["allowed_tools"] : value, nested, out)) {
            return problem;
        }
    } else if (value.is_object()) {
        choice.kind = ToolChoice::Kind::named;
        return take_chosen(name, value, nested, out, choice.name);
    } else if (auto problem = take_word(name, value, choice)) {
        return problem;
    }
    if (choice.kind != ToolChoice::Kind::required || !out.tools.empty()) return {};
    return bad_field(name,
                     fmt::format("{} is \"required\" and there are no tools; give some", name));
}

Problem take_format(const std::string& name, const Json& value, bool nested, Constraint& out) {
    if (!value.is_object()) return wrong(name, value, "an object with a type");
    if (!given(value, "type")) return missing_field(name + ".type");
    const Json& type = value["type"];
    if (type == "text") return {};
    if (type == "json_object") {
        // As llama.cpp's server has it, too.
        if (given(value, "schema")) return take_schema(name + ".schema", value["schema"], out);
        out = {Constraint::Kind::json_schema, R"({"type":"object"})"};
        return {};
    }
    if (type != "json_schema") {
        return wrong(name + ".type", type, "\"text\", \"json_object\" or \"json_schema\"");
    }
    const std::string where = nested ? name + ".json_schema" : name;
    if (nested && !given(value, "json_schema")) return missing_field(where);
    const Json& holder = nested ? value["json_schema"] : value;
    if (!holder.is_object()) return wrong(where, holder, "an object with a schema");
    if (!given(holder, "schema")) return missing_field(where + ".schema");
    return take_schema(where + ".schema", holder["schema"], out);
}

Problem take_constraint(const std::string& name, const Json& value, Constraint& out) {
    if (out.kind != Constraint::Kind::none) {
        return bad_field(name, "grammar and response_format are both given; give one");
    }
    if (name == "response_format") return take_format(name, value, true, out);
    out.kind = Constraint::Kind::gbnf;
    return take(name, value, out.text);
}

Problem take_effort(const std::string& name, const Json& value, Json& kwargs) {
    constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
    const bool known =
        value.is_string() && std::find(std::begin(kEfforts), std::end(kEfforts),
                                       value.get<std::string>()) != std::end(kEfforts);
    if (!known) {
        return wrong(name, value,
                     "\"none\", \"minimal\", \"low\", \"medium\", \"high\" or \"xhigh\"");
    }
    const bool thinks = value != "none";
    kwargs["enable_thinking"] = thinks;
    if (value == "minimal") {
        kwargs["reasoning_effort"] = "low";
    } else if (value == "xhigh") {
        kwargs["reasoning_effort"] = "high";
    } else if (thinks) {
        kwargs["reasoning_effort"] = value;
    }
    return {};
}

Problem check_conversation(const Conversation& conversation) {
    auto problem = problem_in(conversation);
    if (!problem) return {};
    // "messages[3].content: ..."
    std::string field = problem->substr(0, problem->find(':'));
    return bad_field(std::move(field), *std::move(problem));
}

}  // namespace shoal::http::openai
