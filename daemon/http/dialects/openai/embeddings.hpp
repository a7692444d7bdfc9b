// POST /v1/embeddings: the body as the service's requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/http/api_error.hpp"
#include "daemon/http/dialects/openai/prompts.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http::openai {

/// Inputs of one request, as at OpenAI.
inline constexpr std::size_t kMaxInputs = 2048;

struct EmbeddingRequest {
    std::string model;
    std::vector<Prompt> inputs;
    std::uint32_t dimensions = 0;  ///< 0: all that the model has
    std::int32_t priority = 0;
    bool base64 = false;  ///< as little-endian float32

    mesh::messages::Generate input(std::size_t index) const;
};

std::variant<EmbeddingRequest, ApiError> parse_embedding(std::string_view body);

/// What is wrong with a vector that came, for what was asked.
std::optional<ApiError> problem_of(const mesh::messages::Done& done, const EmbeddingRequest& asked);

/// The first `dimensions` (0: all) of a vector, of length 1. Requires: there are so many.
std::vector<float> unit_vector(std::vector<float> vector, std::size_t dimensions);

}  // namespace shoal::http::openai
