#include "daemon/http/dialects/openai/generation_exchange.hpp"

namespace shoal::http::openai {

using namespace mesh::messages;

Written GenerationExchange::event(std::size_t part, const Event& event) {
    if (const auto* entries = std::get_if<PromptTokens>(&event)) return prompt(part, *entries);
    if (const auto* made = std::get_if<Token>(&event)) {
        if (!made->model.empty()) head_.model = made->model;
        return token(part, *made);
    }
    const auto* done = std::get_if<Done>(&event);
    if (done == nullptr) return unexpected_event();
    if (!done->model.empty()) head_.model = done->model;
    add_to_total(total_, *done, part % per_prompt_ == 0);
    return over(part, *done);
}

}  // namespace shoal::http::openai
