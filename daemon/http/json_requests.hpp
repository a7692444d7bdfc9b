// The bodies of POST requests, as the service's requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/http/api_error.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// OpenAI's default, and what it allows a request to leave out.
inline constexpr std::uint32_t kDefaultMaxTokens = 16;
inline constexpr float kMaxLogitBiasValue = 100;

/// Texts that one request may ask for: prompts times n.
inline constexpr std::size_t kMaxChoices = 64;

/// A text, or token ids.
struct Prompt {
    std::string text;
    std::vector<std::int32_t> ids;
};

/// One request for a text of each prompt, or for n of each.
struct CompletionRequest {
    mesh::messages::Generate generate;  ///< what all choices have in common, so all but the prompt
    std::vector<Prompt> prompts;
    std::uint32_t n = 1;
    bool stream = false;
    bool include_usage = false;
    bool seeded = false;  ///< false: the seed is the caller's to draw

    std::size_t choices() const noexcept { return prompts.size() * n; }
    /// The n choices of the first prompt come first. The first choice of a prompt is what the
    /// prompt would get alone; the others have the next seeds. Requires: index < choices().
    mesh::messages::Generate choice(std::size_t index) const;
};

template <typename T>
using Parsed = std::variant<T, ApiError>;

/// A field that cannot be honoured is an error that names it, never ignored. What these return
/// has passed validate() for the HTTP door.
Parsed<CompletionRequest> parse_completion(std::string_view body);
/// {"model"?, "content", "add_special"?, "parse_special"?}
Parsed<mesh::messages::TokenizeRequest> parse_tokenize(std::string_view body);
/// {"model"?, "tokens"}
Parsed<mesh::messages::DetokenizeRequest> parse_detokenize(std::string_view body);

}  // namespace shoal::http
