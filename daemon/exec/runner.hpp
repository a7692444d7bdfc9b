// Driving steps: the root composes and broadcasts them, the other devices follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/executor.hpp"
#include "daemon/exec/logprobs.hpp"
#include "daemon/exec/pooling.hpp"
#include "daemon/exec/sampling.hpp"
#include "daemon/model/piece.hpp"

namespace shoal::grammar {
class TokenMask;
}

namespace shoal::exec {

/// A running generation as the root sees it: all that steps need to know of it.
struct Sequence {
    SequenceId id = 0;
    std::vector<std::int32_t> tokens;  ///< prompt, then what was generated
    std::uint32_t computed = 0;        ///< tokens whose K and V every device holds
    Sampling sampling;
    std::uint32_t prompt =
        0;  ///< the first of the tokens, if others were generated already; 0: all
    /// Tokens before this one are computed in sequence-parallel steps, also when they are computed
    /// again. Root::settle_kind sets it, with the first step at the latest.
    std::optional<std::uint32_t> shared_until{};

    /// Tokens whose scores are given with each token: its own and the likeliest logprobs - 1; 0:
    /// none. The same of tokens [1, scored_until), which must be there: they go to prompt_scores,
    /// in order, for the caller to take.
    std::uint32_t logprobs = 0;
    std::uint32_t scored_until = 0;
    std::uint32_t scored_from = 1;  ///< those before it are known, and computed without scores
    std::vector<std::vector<Logprob>> prompt_scores{};
    /// The tokens that may be chosen next; null: all. Of the vocabulary's size, and not empty.
    std::shared_ptr<const grammar::TokenMask> allowed{};
    bool answers = true;         ///< a token is chosen after the last one
    std::optional<Pool> pool{};  ///< takes hidden states as steps compute them
};

/// Its next rows are computed in sequence-parallel steps.
inline bool shares_rows(const Sequence& sequence) noexcept {
    return sequence.computed < sequence.shared_until.value_or(0);
}

/// A token that a step chose.
struct Chosen {
    std::size_t sequence;  ///< index into the span given to step()
    std::int32_t token;
    std::vector<Logprob> scores{};  ///< when Sequence::logprobs is not 0
};

/// The most rows of prompts that a step takes, where it has others as well or has to be short for
/// them: of sequences with more than one token left.
struct PromptRows {
    std::uint32_t together = UINT32_MAX;  ///< of a step that all sequences may be in
    std::uint32_t shared = UINT32_MAX;    ///< of a sequence-parallel one
};

/// The root's side. Owned by the thread that runs the steps; all arguments outlive it.
class Root {
  public:
    /// `source` holds the embedding table. Throws model::ModelError when it does not.
    Root(Executor& executor, Collective& collective, const model::WeightSource& source);
    /// Another way to the same devices, all of which stand where the last stop() left them.
    void use(Collective& collective) noexcept { collective_ = &collective; }

    /// One step: the tokens not computed yet, as many rows as fit, sequences in order. Prompts of
    /// ExecutorOptions::sequence_rows tokens and more have steps of their own, in turns with those
    /// of the others: so a row's numbers do not depend on what else is computed. A sequence
    /// whose last token was computed gets its next one chosen, if it answers; the caller appends
    /// it. One for which no output is left has its last token computed by a later step.
    /// Tokens with scores take an output each: of such a text a step computes as many rows as there
    /// are outputs that the other sequences cannot need.
    /// `chosen` is overwritten. After a failure nothing has changed but `computed` of sequences
    /// is to be set to 0 before they run under another plan.
    /// `most`: 0 only beside sequences with one token left.
    Status step(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen,
                const PromptRows& most = {});
    /// The last step was a sequence-parallel one.
    bool shared_rows() const noexcept { return step_.sequence_parallel; }
    /// What it had.
    std::size_t rows() const noexcept { return step_.rows.size(); }
    /// Whether a text's rows are shared out follows from what it is at first, and stays.
    void settle_kind(Sequence& sequence) const;

    /// With the next step a new sequence begins with the first positions of another.
    void fork(const Fork& fork) { step_.forks.push_back(fork); }
    /// The sequence's cache blocks are freed with the next step, after the forks. At most
    /// kMaxStepChanges, of releases as of forks, between two steps.
    void release(SequenceId id) { step_.releases.push_back(id); }

    /// All devices write blocks to their disks, or read them into new ones; `done`: as many as each
    /// of them did. What the next step was to fork and release happens before. `disk` is this
    /// device's.
    Status run(const BlockOrder& order, KvDisk& disk, std::uint32_t& done);

    /// The others leave follow(), and all have done so when this returns ok: their caches are as
    /// after the last step, also for a later Root::use. What the next step was to fork and release
    /// is kept for it.
    Status stop();

  private:
    void choose_kind(std::span<Sequence* const> sequences, const PromptRows& most);
    void share_outputs(std::span<Sequence* const> sequences);
    std::uint32_t rows_of(const Sequence& sequence) const;
    void add_rows(Sequence& sequence, std::size_t index);
    void add_row(const Sequence& sequence, std::uint32_t position);
    void add_targets(const Sequence& sequence, std::size_t index, std::uint32_t count);
    void add_output(const Sequence& sequence, std::size_t index);
    std::uint32_t choices_of(const Sequence& sequence) const;
    void pool_hidden(std::span<Sequence* const> sequences);
    Status choose_tokens(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen);
    Status choose_token(std::size_t output, const Sequence& sequence, std::vector<Scores>& parts,
                        Chosen& chosen);
    Status gather(std::span<const Scores> mine, std::vector<std::vector<Scores>>& parts);
    Status more_candidates(std::size_t output, std::uint32_t candidates,
                           std::vector<Scores>& parts);

    Executor& executor_;
    Collective* collective_;
    const model::WeightSource& source_;
    model::Piece embedding_row_;
    std::size_t embedding_bytes_;
    std::uint32_t n_vocab_;

    Step step_;
    std::vector<std::size_t> output_sequence_;  // index of the sequence of each output
    std::vector<std::size_t> hidden_sequence_;  // and of each range of hidden rows
    std::size_t outputs_for_targets_ = 0;       // that are left of this step's
    std::uint32_t prompt_rows_ = 0;             // the same
    std::vector<std::uint32_t> taken_;          // rows of each sequence in this step
    std::vector<std::byte> message_;
    std::vector<std::byte> scores_message_;
    std::vector<std::span<const std::byte>> received_;
};

/// Another device's side: runs steps until the root stops (ok) or a step fails. `disk`: null where
/// no blocks are kept.
Status follow(Executor& executor, Collective& collective, KvDisk* disk = nullptr);

}  // namespace shoal::exec
