// POST /api/chat and /api/generate: the bodies as the service's requests.
#pragma once

#include <string_view>
#include <variant>

#include "daemon/http/dialects/ollama/generation.hpp"

namespace shoal::http::ollama {

/// {"messages", "tools"?, ...}; no message: the model is loaded.
std::variant<Generation, ApiError> parse_chat(std::string_view body);

/// {"prompt", "system"?, "suffix"?, "raw"?, ...}; neither prompt nor suffix: the model is loaded.
std::variant<Generation, ApiError> parse_generate(std::string_view body);

/// [{"role", "content", "thinking"?, "tool_calls"?, "tool_name"?}]
Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out);

/// Images, which no model here sees: none at all is fine.
Problem refuse_images(const std::string& name, const Json& value);

}  // namespace shoal::http::ollama
