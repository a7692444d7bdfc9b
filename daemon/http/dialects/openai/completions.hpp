// POST /v1/completions: the body as the service's requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/http/dialects/openai/generation.hpp"
#include "daemon/http/dialects/openai/prompts.hpp"

namespace shoal::http::openai {

/// OpenAI's default.
inline constexpr std::uint32_t kDefaultMaxTokens = 16;

/// One request for a text of each prompt, or for n of each.
struct CompletionRequest : Generation {  ///< `generate` has what all texts have in common
    std::vector<Prompt> prompts;
    std::uint32_t best_of = 0;  ///< texts that are made of each prompt, of which n are given
    bool echo = false;          ///< the answer begins with the prompt
    std::optional<std::uint32_t> logprobs;  ///< of each token and of so many that are likelier

    std::size_t texts() const noexcept { return prompts.size() * best_of; }
    bool chooses() const noexcept { return best_of > n; }
    /// The texts of the first prompt come first. The first of a prompt is what the prompt would
    /// get alone; the others have the next seeds. Requires: index < texts().
    mesh::messages::Generate text(std::size_t index) const;
};

std::variant<CompletionRequest, ApiError> parse_completion(std::string_view body);

}  // namespace shoal::http::openai
