// OpenAI's API, as far as it concerns models that are at hand. API.md says what of it.
#pragma once

#include <string>

#include "daemon/http/exchange.hpp"

namespace shoal::http::openai {

/// What is wrong, in the words that clients of OpenAI look for.
std::string message_of(const ApiError& error);
/// {"error": {"message", "type", "param", "code"}}; in a stream an event of it, then [DONE].
std::string error_json(const ApiError& error);
Answer refusal(const ApiError& error);
std::string broken_stream(const ApiError& error);
inline constexpr Dialect kDialect{refusal, broken_stream};

/// Which software answers, as far as anybody needs to know.
inline constexpr char kSystemFingerprint[] = "shoal";

// POST
Understood chat(const Call& call);
Understood completions(const Call& call);
Understood embeddings(const Call& call);
Understood responses(const Call& call);

// GET
Understood models(const Call& call);
/// The model that the path names.
Understood model(const Call& call);
/// The kept response that the path names. The other is a DELETE.
Understood response(const Call& call);
Understood delete_response(const Call& call);

}  // namespace shoal::http::openai
