// Whatever comes as the body of a POST: parsing never crashes, what it accepts is valid for the
// HTTP door, and what it refuses has an error that is JSON itself.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/http/dialects/llama_server/completion.hpp"
#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/anthropic/messages.hpp"
#include "daemon/http/dialects/ollama/chat.hpp"
#include "daemon/http/dialects/ollama/embed.hpp"
#include "daemon/http/dialects/ollama/one_model.hpp"
#include "daemon/http/dialects/openai/chat.hpp"
#include "daemon/http/dialects/openai/completions.hpp"
#include "daemon/http/dialects/openai/embeddings.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/dialects/openai/responses.hpp"

using namespace shoal::http;
using shoal::mesh::messages::Door;

namespace {

void check(const ApiError& error) {
    const bool whole = error.status >= 400 && error.status < 500 && !error.message.empty() &&
                       error.message.size() < 2000 &&
                       nlohmann::json::accept(openai::error_json(error));
    if (!whole) std::abort();
}

template <typename T>
void check(const T& request) {
    if (validate(request, Door::http)) std::abort();
}
void check(const openai::CompletionRequest& request) {
    const std::size_t texts = request.texts();
    if (texts == 0 || texts > openai::kMaxChoices) std::abort();
    for (std::size_t i = 0; i < texts; ++i) check(request.text(i));
}

void check(const openai::ChatRequest& request) {
    if (request.n == 0 || request.n > openai::kMaxChoices) std::abort();
    for (std::size_t i = 0; i < request.n; ++i) check(request.choice(i));
}
void check(const openai::EmbeddingRequest& request) {
    if (request.inputs.empty() || request.inputs.size() > openai::kMaxInputs) std::abort();
    for (std::size_t i = 0; i < request.inputs.size(); ++i) check(request.input(i));
}
void check(const anthropic::MessagesRequest& request) {
    check(request.generate);
}
void check(const ollama::Generation& request) {
    check(request.generate);
}
void check(const ollama::Embedding& request) {
    if (request.asked.inputs.size() > openai::kMaxInputs) std::abort();
    for (std::size_t i = 0; i < request.asked.inputs.size(); ++i) check(request.asked.input(i));
}
void check(const ollama::OneModel& request) {
    check(shoal::mesh::messages::DescribeRequest{request.model.wanted});
}
void check(const llama_server::CompletionRequest& request) {
    check(request.generate);
}
/// What is kept of it must be read again.
void check(const openai::ResponseRequest& request) {
    check(request.generate);
    const Json response = {{"id", "resp_1"}, {"output", {{{"id", "msg_1"}}}}};
    KeptTexts all(std::size_t{1} << 30, std::chrono::hours(1));
    openai::keep_response(all, response, request.conversation);
    if (openai::find_item(&all, "msg_1") != response["output"][0]) std::abort();
    const auto kept = openai::find_response(&all, "resp_1");
    if (!kept || openai::response_of(*kept) != response.dump()) std::abort();
    const auto read = openai::conversation_of(*kept);
    if (!read || read->messages.size() != request.conversation.messages.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const auto see = [](const auto& value) { check(value); };
    std::visit(see, openai::parse_completion(body));
    std::visit(see, openai::parse_chat(body));
    std::visit(see, openai::parse_embedding(body));
    std::visit(see, openai::parse_response(body, nullptr));
    std::visit(see, llama_server::parse_tokenize(body));
    std::visit(see, llama_server::parse_detokenize(body));
    std::visit(see, llama_server::parse_completion(body));
    std::visit(see, llama_server::parse_infill(body));
    std::visit(see, llama_server::parse_apply_template(body));
    std::visit(see, anthropic::parse_messages(body));
    std::visit(see, ollama::parse_chat(body));
    std::visit(see, ollama::parse_generate(body));
    std::visit(see, ollama::parse_embed(body));
    std::visit(see, ollama::parse_old_embedding(body));
    std::visit(see, ollama::parse_one_model(body));
    return 0;
}
