// POST /api/embed and /api/embeddings: the bodies as the service's requests.
#pragma once

#include <cstddef>
#include <string_view>
#include <variant>

#include "daemon/http/dialects/ollama/models.hpp"
#include "daemon/http/dialects/openai/embeddings.hpp"

namespace shoal::http::ollama {

struct Embedding {
    ModelName model;
    openai::EmbeddingRequest asked;  ///< maybe of nothing
    std::int32_t keep_alive = mesh::messages::kKeepAsSet;
};

/// {"input": a text or several, "dimensions"?, ...}
std::variant<Embedding, ApiError> parse_embed(std::string_view body);
/// {"prompt": a text, ...}, as it was before.
std::variant<Embedding, ApiError> parse_old_embedding(std::string_view body);

}  // namespace shoal::http::ollama
