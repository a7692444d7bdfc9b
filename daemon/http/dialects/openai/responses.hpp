// POST /v1/responses: the body as the service's request.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/chat/conversation.hpp"
#include "daemon/http/dialects/openai/generation.hpp"
#include "daemon/http/kept_texts.hpp"

namespace shoal::http::openai {

struct ResponseRequest : Sampled {
    bool stream = false;
    bool store = true;
    bool summary = false;             ///< reasoning is told as its summary
    chat::Conversation conversation;  ///< what is kept for the next: without the instructions
    std::shared_ptr<Json> repeated;   ///< fields that the answer repeats
};

/// `kept`: what earlier answers left; may be null.
std::variant<ResponseRequest, ApiError> parse_response(std::string_view body, KeptTexts* kept);

/// The input: a text, or items of messages, calls, their results and reasoning, which are added
/// to the conversation. An item may be named that is in a kept response's output.
Problem take_input(const std::string& name, const Json& value, KeptTexts* kept,
                   chat::Conversation& out);

/// How the ids of responses begin, and those of their items do not.
inline constexpr std::string_view kResponsePrefix = "resp_";

/// Keeps an answer by its id: itself, and the conversation up to it; and the id by those of its
/// items.
void keep_response(KeptTexts& kept, const Json& response, const chat::Conversation& conversation);
/// What is kept of an answer. `kept` may be null.
std::optional<std::string> find_response(KeptTexts* kept, std::string_view id);
/// An item of the output of one.
std::optional<Json> find_item(KeptTexts* kept, std::string_view id);
/// The parts of what is kept.
std::string response_of(const std::string& kept);
std::optional<chat::Conversation> conversation_of(const std::string& kept);

}  // namespace shoal::http::openai
