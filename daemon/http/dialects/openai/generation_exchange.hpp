// What exchanges for generated texts have in common.
#pragma once

#include <cstddef>
#include <string>

#include "daemon/http/dialects/openai/generation.hpp"
#include "daemon/http/dialects/openai/openai.hpp"

namespace shoal::http::openai {

/// Each part is a text, `per_prompt` of each prompt.
class GenerationExchange : public Exchange {
  public:
    bool generates() const noexcept override { return true; }
    Written event(std::size_t part, const mesh::messages::Event& event) override;

  protected:
    GenerationExchange(Head head, std::size_t per_prompt)
        : Exchange(kDialect), head_(std::move(head)), per_prompt_(per_prompt) {}

    /// With the model's name, once a token has brought it.
    const Head& head() const noexcept { return head_; }
    /// Of the parts that are over.
    const mesh::messages::Done& total() const noexcept { return total_; }

  private:
    // What each adds to a stream.
    virtual std::string prompt(std::size_t, const mesh::messages::PromptTokens&) { return {}; }
    virtual std::string token(std::size_t part, const mesh::messages::Token& token) = 0;
    virtual std::string over(std::size_t part, const mesh::messages::Done& done) = 0;

    Head head_;
    const std::size_t per_prompt_;
    mesh::messages::Done total_;
};

}  // namespace shoal::http::openai
