// Ollama's API, as far as it concerns models that are at hand. API.md says what of it.
#pragma once

#include <string>
#include <string_view>

#include "daemon/http/exchange.hpp"

namespace shoal::http::ollama {

/// {"error": "..."}; in a stream a line of it.
Answer refusal(const ApiError& error);
std::string broken_stream(const ApiError& error);
inline constexpr Dialect kDialect{refusal, broken_stream};

/// JSON objects, one a line.
inline constexpr char kLinesType[] = "application/x-ndjson";

/// Clients ask for the version to know which parts of the API there are: this one's.
inline constexpr char kApiVersion[] = "0.12.11";

// GET
Understood running(const Call& call);
Understood version(const Call& call);
Understood tags(const Call& call);
Understood ps(const Call& call);

// POST
Understood chat(const Call& call);
Understood generate(const Call& call);
Understood embed(const Call& call);
Understood embeddings(const Call& call);
Understood show(const Call& call);
Understood pull(const Call& call);

/// What changes the models of a device, which nobody may over HTTP: always an error.
Understood change_models(const Call& call);

}  // namespace shoal::http::ollama
