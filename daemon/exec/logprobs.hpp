// How likely tokens are, as the model has it: log-softmax of the raw logits over the whole
// vocabulary, before temperature, penalties, biases and masks, whatever filters keep. OpenAI's API
// and llama-server mean the same by "logprobs", unless told otherwise.
//
// Each device knows the logits of its own rows. It answers with their largest, their sum of
// exponentials, the likeliest of them and those that may be chosen, in the same message as its
// candidates; so the root has every number exactly, without asking again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/sampling.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

struct Logprob {
    std::int32_t id = 0;
    float logprob = 0;  ///< natural
    bool operator==(const Logprob&) const = default;
};

/// What a device says of its rows `raw`, which are the ids from first_id on, beside `scores`, its
/// other answer: Scores::raw. NaN becomes the lowest float, in `raw` too.
/// Requires: request.logprobs != 0.
void report_logits(const kernels::Table& kernels, std::span<float> raw, std::int32_t first_id,
                   const ScoreRequest& request, ScoreBuffers& buffers, Scores& scores);

/// What all devices said, merged, with the likeliest `likeliest`. Parts without Scores::raw count
/// as devices without rows.
RawScores merge_raw(std::span<const Scores> parts, std::uint32_t likeliest);

/// The token's own, then those of the likeliest in order (the token may be among them). Empty when
/// nobody said its logit.
std::vector<Logprob> logprobs_of(const RawScores& merged, std::int32_t id);

}  // namespace shoal::exec
