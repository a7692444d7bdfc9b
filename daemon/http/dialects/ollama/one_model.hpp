// POST /api/show and /api/pull: bodies that name a model.
#pragma once

#include <string_view>
#include <variant>

#include "daemon/http/dialects/ollama/models.hpp"

namespace shoal::http::ollama {

struct OneModel {
    ModelName model;
    bool stream = true;
};

/// {"model" or "name", "verbose"?, "stream"?, "insecure"?}
std::variant<OneModel, ApiError> parse_one_model(std::string_view body);

}  // namespace shoal::http::ollama
