// Tools, which of them may be called, and the form that an answer must have.
#pragma once

#include <string>

#include "daemon/chat/conversation.hpp"
#include "daemon/http/json_fields.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http::openai {

/// [{"type": "function", "function": {"name", "description"?, "parameters"?, "strict"?}}]
Problem take_tools(const std::string& name, const Json& value, chat::Conversation& out);
/// The object that describes a function; `field` is its name, "tools[0].function".
Problem take_function(const std::string& field, const Json& value, chat::Tool& out);

/// A choice as OpenAI writes it: a word, a function, or some of the tools, which takes the others
/// away. `nested`: a function's name stands in a member "function", as in chats.
/// The tools must have been taken.
Problem take_tool_choice(const std::string& name, const Json& value, bool nested,
                         chat::Conversation& out);

/// {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", ...}. `nested`: name and
/// schema stand in a member "json_schema", as in chats.
Problem take_format(const std::string& name, const Json& value, bool nested,
                    mesh::messages::Constraint& out);

/// "response_format", or "grammar", of which a request may have one.
Problem take_constraint(const std::string& name, const Json& value,
                        mesh::messages::Constraint& out);

/// How much a model is to think: "none" to "xhigh", as variables of its template.
Problem take_effort(const std::string& name, const Json& value, Json& kwargs);

/// What is wrong with the whole; the error names the field.
Problem check_conversation(const chat::Conversation& conversation);

}  // namespace shoal::http::openai
