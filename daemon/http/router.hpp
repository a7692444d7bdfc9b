// Which request a method and a path mean.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "daemon/http/api_error.hpp"

namespace shoal::http {

enum class Endpoint { completions, tokenize, detokenize, models, model, health, cluster };

struct Refusal {
    ApiError error;
    std::string allow;  ///< of a 405: the methods that the path has
};

/// The endpoint, or 404 for an unknown path and 405 for a method that it does not have.
std::variant<Endpoint, Refusal> route(std::string_view method, std::string_view path);

/// The model's name in the path of an Endpoint::model.
std::string model_in_path(std::string_view path);

/// Endpoints with a JSON body are POSTs, the others have none.
constexpr bool has_body(Endpoint endpoint) noexcept {
    return endpoint == Endpoint::completions || endpoint == Endpoint::tokenize ||
           endpoint == Endpoint::detokenize;
}

}  // namespace shoal::http
