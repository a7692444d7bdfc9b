// Choosing the next token: devices score their own vocabulary rows, the root picks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"

namespace shoal::exec {

/// How one sequence is sampled. Switched-off values: top_k 0, top_p 1, min_p 0, penalties 1/0/0.
struct Sampling {
    float temperature = 0;  ///< 0: greedy
    std::uint32_t top_k = 0;
    float top_p = 1;
    float min_p = 0;
    float repeat_penalty = 1;
    float presence_penalty = 0;
    float frequency_penalty = 0;
    std::uint32_t penalty_last_n = 64;
    std::uint64_t seed = 0;
    std::vector<std::pair<std::int32_t, float>> logit_bias;
};

/// A token that was seen, and how often, within the last penalty_last_n.
struct SeenToken {
    std::int32_t id;
    std::uint32_t count;
};

/// What a device needs to score its rows of the vocabulary for one output row.
struct ScoreRequest {
    float temperature = 0;
    float repeat_penalty = 1;
    float presence_penalty = 0;
    float frequency_penalty = 0;
    std::uint64_t seed = 0;
    std::uint64_t position = 0;    ///< of the token to be chosen; enters the noise
    std::uint32_t candidates = 1;  ///< how many of the best are wanted
    bool draw = false;             ///< also draw from the whole vocabulary by Gumbel-max
    /// Unless 0 it is also told how likely tokens are, the likeliest `logprobs - 1` among them
    /// (logprobs.hpp).
    std::uint32_t logprobs = 0;
    std::int32_t target = -1;  ///< the token that follows is this one: none is chosen; -1: unknown
    /// The tokens that may be chosen, as grammar::TokenMask::encode() has them; empty: all.
    std::string mask{};
    std::vector<SeenToken> seen;
    std::vector<std::pair<std::int32_t, float>> logit_bias;
};

struct Candidate {
    std::int32_t id;
    float logit;  ///< after penalties, bias and temperature
    bool operator==(const Candidate&) const = default;
};

/// Logits of a device's own rows as the model has them, before anything is applied (logprobs.hpp).
struct RawScores {
    std::vector<Candidate> best;  ///< the likeliest; descending, ties by lower id
    std::vector<Candidate>
        known;  ///< of the tokens that may be chosen, or of the target; any order
    float max = 0;
    double sum_exp = 0;  ///< sum of exp(logit - max); 0 without own rows
};

/// What a device answers.
struct Scores {
    std::vector<Candidate> best;     ///< descending; ties by lower id
    float max = 0;                   ///< of the own rows
    double sum_exp = 0;              ///< sum of exp(logit - max); 0 without own rows or candidates
    Candidate drawn{-1, 0};          ///< the own rows' winner with noise added; id -1: none
    std::optional<RawScores> raw{};  ///< when ScoreRequest::logprobs is not 0
};

/// Apply penalties, bias and temperature in place to the logits of ids
/// [first_id, first_id + logits.size()).
void adjust_logits(const kernels::Table& kernels, std::span<float> logits, std::int32_t first_id,
                   const ScoreRequest& request) noexcept;

/// Buffers that scoring uses again and again.
struct ScoreBuffers {
    std::vector<float> maxima;   ///< of each block of logits
    std::vector<float> ordered;  ///< the same, partly sorted
};

/// Score adjusted logits. Nothing is allocated once `buffers` and `out` have grown.
void score_logits(const kernels::Table& kernels, std::span<const float> logits,
                  std::int32_t first_id, const ScoreRequest& request, ScoreBuffers& buffers,
                  Scores& out);

/// Gumbel noise of one (seed, position, token id): the same on every device, so that a token
/// does not depend on the cut.
double gumbel_noise(std::uint64_t seed, std::uint64_t position, std::int32_t id) noexcept;

/// How many candidates the first request asks for, of so many tokens that may be chosen.
std::uint32_t wanted_candidates(const Sampling& sampling, std::uint32_t n_choices) noexcept;

/// True when the token is drawn from the whole vocabulary, so that no candidates are needed.
bool draws_from_all(const Sampling& sampling) noexcept;

/// The scores of all devices merged; `candidates` 0: the winners of their draws.
Scores merge_scores(std::span<const Scores> parts, std::uint32_t candidates);

/// The chosen token of n_choices that may be chosen, or -1 when the filters keep more than the
/// candidates at hand: ask again with more.
std::int32_t choose(const Scores& scores, const Sampling& sampling, std::uint64_t position,
                    std::uint32_t n_choices) noexcept;

/// Count the last penalty_last_n tokens of a history.
std::vector<SeenToken> count_seen(std::span<const std::int32_t> history,
                                  std::uint32_t penalty_last_n);

}  // namespace shoal::exec
