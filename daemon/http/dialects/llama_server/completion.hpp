// POST /completion and /infill: the bodies as the service's requests.
#pragma once

#include <string_view>
#include <variant>

#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::llama_server {

struct CompletionRequest : Sampled {
    bool stream = false;
    bool return_tokens = false;  ///< the ids of what was made
};

/// {"prompt": a text or token ids, "n_predict"?, "grammar"?, ...}
std::variant<CompletionRequest, ApiError> parse_completion(std::string_view body);
/// {"input_prefix", "input_suffix", "prompt"?, ...}: what stands between the two is made.
std::variant<CompletionRequest, ApiError> parse_infill(std::string_view body);

/// What was asked for, as it was understood, under llama-server's names.
Json settings_of(const CompletionRequest& asked);

}  // namespace shoal::http::llama_server
