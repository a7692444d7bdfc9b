// Answers that a grammar constrains: tokens that may not be chosen.
#pragma once

#include <span>

#include "daemon/exec/sampling.hpp"
#include "daemon/grammar/token_mask.hpp"

namespace shoal::exec {

/// Adjusted logits of refused tokens become -inf, so that nothing is left of them in a sum, a
/// maximum or a draw; those of allowed tokens are the lowest float at least, and no NaN.
/// Requires: mask.size() == logits.size().
void mask_logits(std::span<float> logits, const grammar::TokenMask& mask) noexcept;

/// Refused tokens are no candidates, however many were asked for.
void drop_refused(Scores& scores);

}  // namespace shoal::exec
