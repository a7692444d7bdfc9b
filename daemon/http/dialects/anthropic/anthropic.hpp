// Anthropic's Messages API. API.md says what of it.
#pragma once

#include <string>

#include "daemon/http/exchange.hpp"

namespace shoal::http::anthropic {

/// {"type": "error", "error": {"type", "message"}}; in a stream an event of it.
Answer refusal(const ApiError& error);
std::string broken_stream(const ApiError& error);
inline constexpr Dialect kDialect{refusal, broken_stream};

// POST
Understood messages(const Call& call);
Understood count_tokens(const Call& call);

}  // namespace shoal::http::anthropic
