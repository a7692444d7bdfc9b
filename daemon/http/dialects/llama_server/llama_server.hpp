// What llama.cpp's server has beside OpenAI's API. Errors are told as OpenAI does.
#pragma once

#include <string_view>
#include <variant>

#include "daemon/http/exchange.hpp"

namespace shoal::http::llama_server {

// POST
Understood tokenize(const Call& call);
Understood detokenize(const Call& call);
Understood completion(const Call& call);
Understood infill(const Call& call);
Understood apply_template(const Call& call);

// GET
Understood props(const Call& call);
Understood slots(const Call& call);

/// {"model"?, "content", "add_special"?, "parse_special"?, "with_pieces"?}
struct Tokenizing : mesh::messages::TokenizeRequest {
    bool with_pieces = false;  ///< the tokens' texts, too
};
std::variant<Tokenizing, ApiError> parse_tokenize(std::string_view body);
/// {"model"?, "tokens"}
std::variant<mesh::messages::DetokenizeRequest, ApiError> parse_detokenize(std::string_view body);
/// A chat of OpenAI's API, of which the prompt is wanted and no answer.
std::variant<mesh::messages::TokenizeRequest, ApiError> parse_apply_template(std::string_view body);

}  // namespace shoal::http::llama_server
