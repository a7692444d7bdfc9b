// The bodies of POST requests, as the service's requests.
#pragma once

#include <string_view>
#include <variant>

#include "daemon/http/api_error.hpp"
#include "mesh/wire/requests.hpp"

namespace shoal::http {

/// OpenAI's default, and what it allows a request to leave out.
inline constexpr std::uint32_t kDefaultMaxTokens = 16;
inline constexpr float kMaxLogitBiasValue = 100;

struct CompletionRequest {
    mesh::wire::Generate generate;
    bool stream = false;
    bool include_usage = false;
    bool seeded = false;  ///< false: the seed is the caller's to draw
};

template <typename T>
using Parsed = std::variant<T, ApiError>;

/// A field that cannot be honoured is an error that names it, never ignored. What these return
/// has passed validate() for the HTTP door.
Parsed<CompletionRequest> parse_completion(std::string_view body);
/// {"model"?, "content", "add_special"?, "parse_special"?}
Parsed<mesh::wire::TokenizeRequest> parse_tokenize(std::string_view body);
/// {"model"?, "tokens"}
Parsed<mesh::wire::DetokenizeRequest> parse_detokenize(std::string_view body);

}  // namespace shoal::http
