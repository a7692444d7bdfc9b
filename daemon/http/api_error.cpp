#include "daemon/http/api_error.hpp"

#include <algorithm>
#include <utility>

namespace shoal::http {
namespace {

constexpr char kContextLength[] = "context_length_exceeded";
/// Nobody is sent away for longer: by then much may have ended.
constexpr std::uint32_t kMaxRetrySeconds = 60;

}  // namespace

using mesh::messages::ErrorCode;

unsigned retry_after(const ApiError& error) noexcept {
    if (error.status != 429 && error.status != 503) return 0;
    return std::clamp<std::uint32_t>(error.retry_seconds, 1, kMaxRetrySeconds);
}

ApiError api_error(const mesh::messages::Failed& failed) {
    switch (failed.code) {
        case ErrorCode::bad_request:
            return {400, "bad_request", failed.message, {}};
        case ErrorCode::not_found:
            return {404, "model_not_found", failed.message, "model"};
        case ErrorCode::busy:
            return {503, "busy", failed.message, {}, failed.retry_seconds};
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
            return {400, kContextLength, failed.message, "prompt"};
    }
    return {500, "internal", failed.message, {}};
}

std::string message_of(const ApiError& error, std::string_view too_long) {
    if (error.code != kContextLength) return error.message;
    return std::string(too_long) + ": " + error.message;
}

ApiError bad_field(std::string param, std::string message) {
    return {400, "bad_request", std::move(message), std::move(param)};
}

}  // namespace shoal::http
