// The chat template of a model, and the tokens of a conversation.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/chat/conversation.hpp"
#include "daemon/chat/prompt.hpp"
#include "daemon/model/gguf.hpp"
#include "daemon/model/tokenizer.hpp"
#include "daemon/pieces/open_model.hpp"

namespace shoal {

/// What a model's template makes of a conversation.
struct ChatPrompt {
    chat::Conversation conversation;
    chat::ChatTemplate from;
    chat::Prompt prompt;
};

/// `json` as chat::parse_conversation() takes it. Otherwise a sentence for the user.
/// That a file has no template is logged at its first conversation.
std::variant<ChatPrompt, std::string> chat_prompt(std::string_view json, const OpenModel& model);

/// What ends the reasoning that the prompt has opened, for an answer that is held to a form; empty:
/// it has opened none.
std::string end_of_reasoning(const ChatPrompt& prompt);
/// Has the prompt end it.
void end_reasoning(ChatPrompt& prompt);

/// Its tokens. BOS comes first if the model has it so, once.
std::vector<model::TokenId> tokens_of(const ChatPrompt& prompt, const model::Tokenizer& tokenizer,
                                      std::size_t max_tokens, const std::stop_token& stop);

/// The file's template: of several named ones "tool_use" for conversations with tools, else
/// "default". The built-in one when there is none.
chat::ChatTemplate template_of(const model::GgufHeader& header, const model::Tokenizer& tokenizer,
                               bool tools);

/// Whether the file has a template of its own.
bool has_template(const model::GgufHeader& header);

}  // namespace shoal
