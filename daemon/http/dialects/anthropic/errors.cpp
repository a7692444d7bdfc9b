#include <nlohmann/json.hpp>

#include "daemon/http/dialects/anthropic/anthropic.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::anthropic {
namespace {

// As Anthropic's documentation lists them.
const char* error_type(unsigned status) noexcept {
    switch (status) {
        case 401:
            return "authentication_error";
        case 403:
            return "permission_error";
        case 404:
            return "not_found_error";
        case 413:
            return "request_too_large";
        case 429:
            return "rate_limit_error";
        case 503:
            return "overloaded_error";
        default:
            return status < 500 ? "invalid_request_error" : "api_error";
    }
}

std::string error_json(const ApiError& error) {
    const std::string message = message_of(error, "prompt is too long");
    return dump(
        {{"type", "error"}, {"error", {{"type", error_type(error.status)}, {"message", message}}}});
}

}  // namespace

Answer refusal(const ApiError& error) {
    return {error.status, error_json(error), retry_after(error)};
}

std::string broken_stream(const ApiError& error) {
    return sse_event("error", error_json(error));
}

}  // namespace shoal::http::anthropic
