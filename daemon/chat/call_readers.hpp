// The texts of whole calls, as calls. Each returns nullopt for what is not one in its form; names
// are not looked up here.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "daemon/chat/call_syntax.hpp"
#include "daemon/chat/tools.hpp"

namespace shoal::chat {

/// One object or a list of them: name ("name", "tool_name", or "function" as text or object),
/// arguments ("arguments", "parameters": an object, or its text in a string; missing: none),
/// id ("id", "tool_call_id"). With `single_member` also {"NAME": {...}}. Wrappers {"tool_call":
/// ...} and {"tool_calls": [...]} are looked into.
std::optional<std::vector<Call>> json_calls(std::string_view text, bool single_member);

/// A header without the arguments. Requires: kind is not Header::none.
std::optional<Call> read_header(Header kind, std::string_view text);

/// NAME><parameter=NAME>value</parameter>... A line's end after the first tag and one before the
/// last belong to the tags.
std::optional<Call> function_tags_call(std::string_view text, const ToolTable& tools);

/// NAME"><PREFIXparameter name="NAME" string="true">value</PREFIXparameter>... Without `string`
/// the tool's schema says what the value is.
std::optional<Call> invoke_tags_call(std::string_view text, std::string_view prefix,
                                     const ToolTable& tools);

/// NAME<arg_key>k</arg_key><arg_value>v</arg_value>..., with line ends anywhere between.
std::optional<Call> argument_tags_call(std::string_view text, const ToolTable& tools);

/// NAME{key:value,...}; strings stand between two `quote`.
std::optional<Call> braces_call(std::string_view text, std::string_view quote);

}  // namespace shoal::chat
