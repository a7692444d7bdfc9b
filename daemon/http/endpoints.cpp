#include "daemon/http/endpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/http/dialects/anthropic/anthropic.hpp"
#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/ollama/ollama.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/dialects/shoal/shoal.hpp"
#include "daemon/http/page/page.hpp"

namespace shoal::http {
namespace {

/// One line for each thing that can be asked for. A path's GET and POST stand together.
constexpr Endpoint kEndpoints[] = {
    {Method::post, "/v1/chat/completions", &openai::kDialect, openai::chat},
    {Method::post, "/v1/completions", &openai::kDialect, openai::completions},
    {Method::post, "/v1/responses", &openai::kDialect, openai::responses},
    {Method::get, "/v1/responses/", &openai::kDialect, openai::response},
    {Method::del, "/v1/responses/", &openai::kDialect, openai::delete_response},
    {Method::post, "/v1/embeddings", &openai::kDialect, openai::embeddings},
    {Method::get, "/v1/models", &openai::kDialect, openai::models},
    {Method::get, "/v1/models/", &openai::kDialect, openai::model},
    {Method::post, "/v1/messages", &anthropic::kDialect, anthropic::messages},
    {Method::post, "/v1/messages/count_tokens", &anthropic::kDialect, anthropic::count_tokens},
    {Method::post, "/tokenize", &openai::kDialect, llama_server::tokenize},
    {Method::post, "/detokenize", &openai::kDialect, llama_server::detokenize},
    {Method::post, "/apply-template", &openai::kDialect, llama_server::apply_template},
    {Method::post, "/completion", &openai::kDialect, llama_server::completion},
    {Method::post, "/completions", &openai::kDialect, llama_server::completion},
    {Method::post, "/infill", &openai::kDialect, llama_server::infill},
    {Method::get, "/props", &openai::kDialect, llama_server::props},
    {Method::get, "/slots", &openai::kDialect, llama_server::slots},
    {Method::get, "/", &ollama::kDialect, page::start, true},
    {Method::get, "/page/", &openai::kDialect, page::file, true},
    {Method::get, "/api/version", &ollama::kDialect, ollama::version},
    {Method::get, "/api/tags", &ollama::kDialect, ollama::tags},
    {Method::get, "/api/ps", &ollama::kDialect, ollama::ps},
    {Method::post, "/api/chat", &ollama::kDialect, ollama::chat, false, true},
    {Method::post, "/api/generate", &ollama::kDialect, ollama::generate, false, true},
    {Method::post, "/api/embed", &ollama::kDialect, ollama::embed, false, true},
    {Method::post, "/api/embeddings", &ollama::kDialect, ollama::embeddings, false, true},
    {Method::post, "/api/show", &ollama::kDialect, ollama::show, false, true},
    {Method::post, "/api/pull", &ollama::kDialect, ollama::pull, false, true},
    {Method::post, "/api/create", &ollama::kDialect, ollama::change_models, false, true},
    {Method::post, "/api/copy", &ollama::kDialect, ollama::change_models, false, true},
    {Method::post, "/api/push", &ollama::kDialect, ollama::change_models, false, true},
    {Method::del, "/api/delete", &ollama::kDialect, ollama::change_models},
    {Method::get, "/v1/cluster", &openai::kDialect, native::cluster},
    {Method::get, "/metrics", &openai::kDialect, native::metrics},
    {Method::get, "/health", &openai::kDialect, native::health, true},
    {Method::get, "/v1/health", &openai::kDialect, native::health, true},
};

/// libmicrohttpd has decoded %2F and the like, so that a name may hold a '/'.
bool matches(const Endpoint& endpoint, std::string_view path) noexcept {
    if (!endpoint.path.ends_with('/') || endpoint.path.size() == 1) return path == endpoint.path;
    return path.starts_with(endpoint.path) && path.size() > endpoint.path.size();
}

std::string_view allowed(Method method) noexcept {
    switch (method) {
        case Method::get:
            return "GET, HEAD";
        case Method::post:
            return "POST";
        case Method::del:
            break;
    }
    return "DELETE";
}

bool takes(Method allows, std::string_view method) noexcept {
    if (allows == Method::get) return method == "GET" || method == "HEAD";
    return method == allowed(allows);
}

Refusal refusal(unsigned status, const char* code, std::string message, const std::string& allow,
                const Dialect* dialect) {
    Refusal out;
    out.error.status = status;
    out.error.code = code;
    out.error.message = std::move(message);
    out.allow = allow;
    out.dialect = dialect;
    return out;
}

Refusal unknown(std::string_view path) {
    std::string known;
    std::string_view last;
    for (const Endpoint& entry : kEndpoints) {
        if (std::exchange(last, entry.path) == entry.path) continue;
        const bool named = entry.path.ends_with('/') && entry.path.size() > 1;
        known += fmt::format(" {}{}", entry.path, named ? "NAME" : "");
    }
    return refusal(
        404, "not_found",
        fmt::format("there is no \"{}\" here; there is{}", path.substr(0, kQuotedBytes), known), "",
        path.starts_with("/api/") ? &ollama::kDialect : &openai::kDialect);
}

}  // namespace

std::variant<Route, Refusal> route(std::string_view method, std::string_view path) {
    std::string allow;
    const Endpoint* at_path = nullptr;
    for (const Endpoint& entry : kEndpoints) {
        if (!matches(entry, path)) continue;
        at_path = &entry;
        if (takes(entry.method, method)) {
            return Route{&entry,
                         std::string(path.substr(std::min(path.size(), entry.path.size())))};
        }
        if (!allow.empty()) allow += ", ";
        allow += allowed(entry.method);
    }
    if (at_path == nullptr) return unknown(path);
    return refusal(405, "method_not_allowed",
                   fmt::format("{} takes {}, not {}", path.substr(0, kQuotedBytes), allow,
                               method.substr(0, kQuotedBytes)),
                   allow, at_path->dialect);
}

}  // namespace shoal::http
