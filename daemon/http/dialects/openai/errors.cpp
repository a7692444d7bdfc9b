#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::openai {

std::string message_of(const ApiError& error) {
    return http::message_of(error, "this model's maximum context length is exceeded");
}

std::string error_json(const ApiError& error) {
    using nlohmann::json;
    const char* type = error.status == 429  ? "rate_limit_error"
                       : error.status < 500 ? "invalid_request_error"
                                            : "server_error";
    json out = {
        {"message", message_of(error)}, {"type", type}, {"param", nullptr}, {"code", error.code}};
    if (!error.param.empty()) out["param"] = error.param;
    // A message may quote what a client sent, hence the replacement of invalid UTF-8.
    return json{{"error", std::move(out)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

Answer refusal(const ApiError& error) {
    return {error.status, error_json(error), retry_after(error)};
}

std::string broken_stream(const ApiError& error) {
    return sse_event(error_json(error)) + sse_event("[DONE]");
}

}  // namespace shoal::http::openai
