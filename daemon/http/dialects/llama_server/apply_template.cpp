// POST /apply-template: the prompt that a model's template makes of a conversation.
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/openai/chat.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_fields.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::llama_server {
namespace {

using namespace mesh::messages;

class Prompt : public Exchange {
  public:
    explicit Prompt(TokenizeRequest request)
        : Exchange(openai::kDialect), request_(std::move(request)) {}

    Request request(std::size_t) const override { return request_; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<TokenizeReply>(&event);
        if (reply == nullptr) return unexpected_event();
        prompt_ = reply->text;
        return {};
    }
    Answer end() override { return {200, dump({{"prompt", prompt_}})}; }

  private:
    const TokenizeRequest request_;
    std::string prompt_;
};

}  // namespace

std::variant<TokenizeRequest, ApiError> parse_apply_template(std::string_view body) {
    auto parsed = openai::parse_chat(body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    Generate& generate = std::get<0>(parsed).generate;
    TokenizeRequest request;
    request.model = std::move(generate.model);
    request.chat = std::move(generate.chat);
    if (auto problem = refused(request, "chat", "messages")) return *std::move(problem);
    return request;
}

Understood apply_template(const Call& call) {
    auto parsed = parse_apply_template(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<Prompt>(std::get<0>(std::move(parsed)));
}

}  // namespace shoal::http::llama_server
