#include "daemon/http/api_error.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace shoal::http {

using mesh::messages::ErrorCode;

std::string ApiError::json() const {
    using nlohmann::json;
    const char* type = status < 500 ? "invalid_request_error" : "server_error";
    json error = {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}};
    if (!param.empty()) error["param"] = param;
    // A message may quote what a client sent, hence the replacement of invalid UTF-8.
    return json{{"error", std::move(error)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

ApiError api_error(const mesh::messages::Failed& failed) {
    switch (failed.code) {
        case ErrorCode::bad_request:
            return {400, "bad_request", failed.message, {}};
        case ErrorCode::not_found:
            return {404, "model_not_found", failed.message, "model"};
        case ErrorCode::busy:
            return {503, "busy", failed.message, {}};
        case ErrorCode::too_large:
            return {413, "too_large", failed.message, {}};
        case ErrorCode::unavailable:
            return {503, "unavailable", failed.message, {}};
        case ErrorCode::internal:
            break;
        case ErrorCode::cancelled:
            return {499, "cancelled", failed.message, {}};
        case ErrorCode::forbidden:
            return {403, "forbidden", failed.message, {}};
        case ErrorCode::context_length:
            return {400, "context_length_exceeded", failed.message, "prompt"};
    }
    return {500, "internal", failed.message, {}};
}

ApiError bad_field(std::string param, std::string message) {
    return {400, "bad_request", std::move(message), std::move(param)};
}

}  // namespace shoal::http
