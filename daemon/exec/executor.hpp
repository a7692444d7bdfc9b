// The forward pass over one slice of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/exec/all_reduce.hpp"
#include "daemon/exec/attention_block.hpp"
#include "daemon/exec/collective.hpp"
#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/kv_disk.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/sampling.hpp"
#include "daemon/exec/sequence_parallel.hpp"
#include "daemon/exec/step.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/exec/whole_weights.hpp"
#include "daemon/exec/workspace.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::exec {

struct ExecutorOptions {
    kernels::KvType kv_type = kernels::KvType::f16;
    PayloadType collectives = PayloadType::q8_0;
    std::uint32_t scatter_rows = 0;  ///< from so many rows on sums go in two hops; 0: never
    std::uint32_t max_rows = 256;    ///< rows of a step
    /// Steps of more than half of max_rows compute in two halves, in turns, each while what the
    /// other sends is under way.
    bool overlap = false;
    std::uint32_t max_outputs = 16;     ///< rows of a step whose logits are wanted
    std::uint64_t kv_positions = 2048;  ///< positions of all sequences together
    /// Prompts of so many tokens and more are computed in sequence-parallel steps; 0: none.
    std::uint32_t sequence_rows = 0;
    RowShares row_shares{};  ///< of these; nothing where sequence_rows is 0

    /// The most rows that go through the layers together: those of a step, or of its half.
    std::uint32_t flow_rows() const noexcept { return overlap ? (max_rows + 1) / 2 : max_rows; }
};

/// One device's part of every step. Owned by the thread that runs the steps; model, weights,
/// kernels and pool must outlive it.
class Executor {
  public:
    /// `rank`: the device's in options.row_shares. `whole`: null where it has no share of rows.
    /// Throws std::bad_alloc.
    Executor(const model::Hparams& hparams, const shard::Slice& slice, const SliceWeights& weights,
             const kernels::Table& kernels, ThreadPool& pool, const ExecutorOptions& options,
             std::uint32_t rank = 0, WholeWeights* whole = nullptr);
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// Run a step with the other devices of the plan. After ok, scores(i) answers the step's
    /// outputs. After a failure the rows may simply be run again. A sequence-parallel step throws
    /// as WholeWeights::layer.
    Status run(const Step& step, Collective& collective);

    /// This device's scores of the last step's outputs.
    std::span<const Scores> scores() const noexcept { return scores_; }
    /// Score one output of the last step again with more candidates.
    const Scores& rescore(std::uint32_t output, std::uint32_t candidates);
    /// This device's logits of an output, after penalties, bias and temperature unless its token is
    /// given: (own vocabulary rows).
    std::span<const float> logits(std::uint32_t output) const noexcept;

    /// On the root, of the last step: what the last norm makes of its Step::hidden rows, in order;
    /// (rows, dim).
    std::span<const float> hidden() const noexcept { return hidden_; }

    /// Carries out an order about blocks of the KV cache with this device's disk, after the forks
    /// and releases of `changes`. `disk`: null where nothing is kept. `done`: how many blocks it
    /// has written, or read.
    Status run(const Step& changes, const BlockOrder& order, KvDisk* disk, std::uint32_t& done);

    const KvCache& cache() const noexcept { return cache_; }
    void clear() noexcept { cache_.clear(); }
    const model::Hparams& hparams() const noexcept { return hp_; }
    const ExecutorOptions& options() const noexcept { return options_; }

    /// Bytes of activation buffers that a slice needs, KV cache and weights apart.
    static std::uint64_t buffer_bytes(const model::Hparams& hparams, const shard::Slice& slice,
                                      const ExecutorOptions& options, std::uint32_t threads,
                                      std::uint32_t rank = 0);

  private:
    /// Rows of a step that go through the layers together.
    struct Flow {
        Workspace heads;                      // all of these rows, with own heads
        Residual x;                           // what this device has of them
        std::optional<SequenceParallel> own;  // own rows, with all heads
        std::size_t first = 0;                // of the step's rows
        std::vector<std::uint32_t> kept{};    // of these rows, those that are read after the layers
    };

    Flow make_flow(std::uint32_t rows, std::uint32_t rows_after, std::uint32_t rank) const;
    Status prepare(const Step& step);
    Status change_sequences(const Step& step);
    Status take_outputs(const Step& step);
    static Status check_hidden(const Step& step) noexcept;
    void take_rows(const Step& step, Flow& flow, std::size_t begin, std::size_t end);
    const std::byte* embeddings(const Step& step, std::size_t row) const noexcept;
    /// Before a half's layers.
    bool in_halves() const noexcept { return second_ && !second_->heads.rows.empty(); }
    Status run_layers(const Step& step, Collective& collective);
    Status layers(const Step& step, Flow& flow, LayerCollective& collective);
    Status share_heads(const Step& step, Flow& flow, LayerCollective& collective);
    Status share_rows(const Step& step, Flow& flow, LayerCollective& collective);
    Status feed_forward(const WeightsView& w, Residual& x, Workspace& ws,
                        LayerCollective& collective);
    void choose_rows(const Step& step) noexcept;
    static void keep_rows(Flow& flow, std::size_t first) noexcept;
    void read_hidden(const Step& step, bool root);
    void score_outputs(const Step& step);
    void keep_raw(std::size_t output);
    void score(std::size_t output);
    std::span<float> logits_of(std::size_t output) noexcept {
        return {logits_.data() + output * slice_.vocab.size(), slice_.vocab.size()};
    }

    const model::Hparams hp_;
    const shard::Slice slice_;
    const SliceWeights& weights_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const ExecutorOptions options_;

    KvCache cache_;
    Linear linear_;
    AttentionBlock attention_;
    WholeWeights* const whole_;
    Flow flow_;                   // of the step's rows; after the layers, of all that are read
    std::optional<Flow> second_;  // of the second half of them, in a step that has halves

    std::vector<std::uint32_t> kept_;   // rows that are read after the last layer
    std::vector<float> hidden_;         // (rows of Step::hidden, dim)
    std::vector<float> logits_;         // (outputs, own vocabulary rows)
    std::vector<float> raw_;            // the same as they were, of outputs that are asked for both
    std::vector<std::size_t> raw_row_;  // where, for each output
    std::size_t raw_rows_ = 0;
    std::vector<ScoreRequest> requests_;
    std::vector<std::optional<grammar::TokenMask>> masks_;  // of own rows, for each output
    std::vector<Scores> scores_;
    ScoreBuffers score_buffers_;
};

}  // namespace shoal::exec
