// POST /v1/messages and /v1/messages/count_tokens: the bodies as the service's requests.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/chat/conversation.hpp"
#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::anthropic {

struct MessagesRequest : Sampled {
    chat::Conversation conversation;
    std::optional<bool> thinks;  ///< as asked for
    std::string effort;          ///< of thinking, as templates know it; empty: the model's
    bool has_limit = false;      ///< max_tokens was given
    bool stream = false;
};

/// {"model", "max_tokens", "messages", "system"?, "tools"?, ...}
std::variant<MessagesRequest, ApiError> parse_messages(std::string_view body);
/// The same without a limit.
std::variant<mesh::messages::TokenizeRequest, ApiError> parse_count(std::string_view body);

/// [{"role": "user" or "assistant", "content": a text or blocks}]: results of tools become messages
/// of their own, before what else the user says.
Problem take_messages(const std::string& name, const Json& value, chat::Conversation& out);
/// A text, or blocks of text.
Problem take_system(const std::string& name, const Json& value, chat::Conversation& out);

}  // namespace shoal::http::anthropic
