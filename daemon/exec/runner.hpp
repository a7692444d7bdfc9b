// Driving steps: the root composes and broadcasts them, the other devices follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/executor.hpp"
#include "daemon/exec/sampling.hpp"
#include "daemon/model/piece.hpp"

namespace shoal::exec {

/// A running generation as the root sees it: all that steps need to know of it.
struct Sequence {
    SequenceId id = 0;
    std::vector<std::int32_t> tokens;  ///< prompt, then what was generated
    std::uint32_t computed = 0;        ///< tokens whose K and V every device holds
    Sampling sampling;
};

/// A token that a step chose.
struct Chosen {
    std::size_t sequence;  ///< index into the span given to step()
    std::int32_t token;
};

/// The root's side. Owned by the thread that runs the steps; all arguments outlive it.
class Root {
  public:
    /// `source` holds the embedding table. Throws model::ModelError when it does not.
    Root(Executor& executor, Collective& collective, const model::WeightSource& source);

    /// One step: the tokens not computed yet, as many rows as fit, sequences in order. A sequence
    /// whose last token was computed gets its next one chosen; the caller appends it. One for which
    /// no output is left has its last token computed by a later step.
    /// `chosen` is overwritten. After a failure nothing has changed but `computed` of sequences
    /// is to be set to 0 before they run under another plan.
    Status step(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen);

    /// The sequence's cache blocks are freed with the next step. At most kMaxStepChanges, of
    /// releases as of forks, between two steps.
    void release(SequenceId id) { step_.releases.push_back(id); }
    /// With the next step, after the releases, a new sequence begins with the first positions of
    /// another.
    void fork(const Fork& fork) { step_.forks.push_back(fork); }

    /// Tell the others that the plan ends.
    Status stop();

  private:
    void add_rows(Sequence& sequence, std::size_t index);
    Status choose_tokens(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen);
    Status gather(std::span<const Scores> mine, std::vector<std::vector<Scores>>& parts);
    Status more_candidates(std::size_t output, std::uint32_t candidates, Scores& merged);

    Executor& executor_;
    Collective& collective_;
    const model::WeightSource& source_;
    model::Piece embedding_row_;
    std::size_t embedding_bytes_;
    std::uint32_t n_vocab_;

    Step step_;
    std::vector<std::size_t> output_sequence_;  // index of the sequence of each output
    std::vector<std::uint32_t> taken_;          // rows of each sequence in this step
    std::vector<std::byte> message_;
    std::vector<std::byte> scores_message_;
    std::vector<std::span<const std::byte>> received_;
};

/// Another device's side: runs steps until the root ends the plan (ok) or it fails.
Status follow(Executor& executor, Collective& collective);

}  // namespace shoal::exec
