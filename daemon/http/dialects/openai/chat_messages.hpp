// The conversation of a chat request: its messages and tools, as the models' templates want them.
#pragma once

#include <string>

#include "daemon/chat/conversation.hpp"
#include "daemon/http/json_fields.hpp"

namespace shoal::http::openai {

/// Roles system, developer (which templates know as system), user, assistant, tool and function;
/// content is text or parts of text.
Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out);

/// A content of text or of parts of text: `field` is its name, "messages[1].content". The parts'
/// types are `text` and what OpenAI calls text elsewhere: input_text, output_text, refusal.
Problem take_content(const std::string& field, const Json& value, std::string& out);

/// [{"id"?, "function": {"name", "arguments"?}}]: calls that the model made. `typed`: each may have
/// a "type", which is then "function".
Problem take_made_calls(const std::string& field, const Json& value, bool typed,
                        chat::Message& out);

/// The text of a JSON object, or the object, as a call's arguments.
Problem take_arguments(const std::string& field, const Json& value, std::string& out);

}  // namespace shoal::http::openai
