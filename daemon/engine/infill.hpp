// Text between two others, of models that were trained to fill in.
#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/tokenizer.hpp"

namespace shoal {

/// The tokens before what stands before, before what stands behind, and before the answer.
struct InfillTokens {
    model::TokenId prefix = 0, suffix = 0, middle = 0;
};

/// As the file names them (tokenizer.ggml.fim_*_token_id, or the names before those); nothing when
/// it lacks one, or names one that the vocabulary does not have.
std::optional<InfillTokens> infill_tokens(const model::GgufHeader& header, std::size_t n_vocab);

/// The prompt for what is to stand between the two texts, in which no special tokens are looked
/// for: BOS if the model has it so, prefix, suffix, middle. Of more tokens than `max_tokens` the
/// rest may be missing.
std::vector<model::TokenId> infill_prompt(const InfillTokens& with,
                                          const model::Tokenizer& tokenizer,
                                          std::string_view before, std::string_view behind,
                                          std::size_t max_tokens, const std::stop_token& stop);

}  // namespace shoal
