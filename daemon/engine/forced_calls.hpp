// Conversations in which the model must call a tool.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "daemon/engine/chat_prompt.hpp"
#include "daemon/grammar/grammar.hpp"

namespace shoal {

/// Whether the conversation wants a call, of any tool or of one.
bool forces_call(const chat::Conversation& conversation) noexcept;

/// What an answer that calls looks like, in the way of the model, with the tools' schemas for the
/// arguments. A prompt that ends within reasoning has that ended first. Otherwise a sentence for
/// the user: a schema is not understood, or there is no such tool. Requires:
/// forces_call(prompt.conversation).
std::variant<std::shared_ptr<const grammar::Grammar>, std::string> forced_calls(
    const ChatPrompt& prompt);

}  // namespace shoal
