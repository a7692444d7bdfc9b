// How likely tokens were, as OpenAI's two APIs say it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/json_input.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http::openai {

/// {"token", "logprob", "bytes", "top_logprobs": [...]} of a token and the likeliest; `scores` as
/// in Token, not empty.
Json chat_logprob(const std::vector<mesh::messages::TokenScore>& scores);

/// Characters of a text in UTF-8; of a part of one, those that begin in it.
std::size_t characters(std::string_view text) noexcept;

/// {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of a text.
class TextLogprobs {
  public:
    bool empty() const noexcept { return tokens_.empty(); }
    /// `offset`: characters before it.
    void add(const std::vector<mesh::messages::TokenScore>& scores, std::size_t offset);
    /// The first `before` bytes of the tokens' texts are not of the text.
    void add_prompt(const std::vector<mesh::messages::PromptTokens::Entry>& tokens,
                    std::size_t before);
    Json json() const;

  private:
    struct Entry {
        std::string token;
        std::vector<mesh::messages::TokenScore> scores;  ///< none of a prompt's first
        std::size_t offset = 0;
    };
    std::vector<Entry> tokens_;
};

/// What JSON can say: an impossible token has -9999, as at OpenAI.
double finite_logprob(float logprob) noexcept;

}  // namespace shoal::http::openai
