// POST /v1/chat/completions: the body as the service's requests.
#pragma once

#include <cstddef>
#include <string_view>
#include <variant>

#include "daemon/http/dialects/openai/generation.hpp"

namespace shoal::http::openai {

/// One request for n answers in a conversation, which `generate` has.
struct ChatRequest : Generation {
    /// The first is what n = 1 gives; the others have the next seeds.
    mesh::messages::Generate choice(std::size_t index) const;
};

std::variant<ChatRequest, ApiError> parse_chat(std::string_view body);

}  // namespace shoal::http::openai
