#include <nlohmann/json.hpp>

#include "daemon/http/dialects/ollama/ollama.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

std::string error_json(const ApiError& error) {
    return dump({{"error", message_of(error, "the input length exceeds the context length")}});
}

}  // namespace

Answer refusal(const ApiError& error) {
    return {error.status, error_json(error), retry_after(error)};
}

std::string broken_stream(const ApiError& error) {
    return error_json(error) + "\n";
}

}  // namespace shoal::http::ollama
