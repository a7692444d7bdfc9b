// The forward pass over one slice of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/all_reduce.hpp"
#include "daemon/exec/attention_block.hpp"
#include "daemon/exec/collective.hpp"
#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/sampling.hpp"
#include "daemon/exec/step.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/exec/workspace.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::exec {

struct ExecutorOptions {
    kernels::KvType kv_type = kernels::KvType::f16;
    PayloadType collectives = PayloadType::q8_0;
    std::uint32_t scatter_rows = 0;     ///< from so many rows on sums go in two hops; 0: never
    std::uint32_t max_rows = 256;       ///< rows of a step
    std::uint32_t max_outputs = 16;     ///< rows of a step whose logits are wanted
    std::uint64_t kv_positions = 2048;  ///< positions of all sequences together
};

/// One device's part of every step. Owned by the thread that runs the steps; model, weights,
/// kernels and pool must outlive it.
class Executor {
  public:
    /// Throws std::bad_alloc.
    Executor(const model::Hparams& hparams, const shard::Slice& slice, const SliceWeights& weights,
             const kernels::Table& kernels, ThreadPool& pool, const ExecutorOptions& options);
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// Run a step with the other devices of the plan. After ok, scores(i) answers the step's
    /// outputs. After a failure the rows may simply be run again.
    Status run(const Step& step, Collective& collective);

    /// This device's scores of the last step's outputs.
    std::span<const Scores> scores() const noexcept { return scores_; }
    /// Score one output of the last step again with more candidates.
    const Scores& rescore(std::uint32_t output, std::uint32_t candidates);
    /// This device's logits of an output, after penalties, bias and temperature:
    /// (own vocabulary rows).
    std::span<const float> logits(std::uint32_t output) const noexcept;

    const KvCache& cache() const noexcept { return cache_; }
    void clear() noexcept { cache_.clear(); }
    const model::Hparams& hparams() const noexcept { return hp_; }
    const ExecutorOptions& options() const noexcept { return options_; }

    /// Bytes of activation buffers that a slice needs, KV cache and weights apart.
    static std::uint64_t buffer_bytes(const model::Hparams& hparams, const shard::Slice& slice,
                                      const ExecutorOptions& options, std::uint32_t threads);

  private:
    Status prepare(const Step& step);
    Status feed_forward(const WeightsView& w, Collective& collective);
    void keep_outputs(const Step& step) noexcept;
    void score_outputs(const Step& step);

    const model::Hparams hp_;
    const shard::Slice slice_;
    const SliceWeights& weights_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const ExecutorOptions options_;

    KvCache cache_;
    Linear linear_;
    Workspace workspace_;
    Residual x_;
    AttentionBlock attention_;

    std::vector<float> logits_;  // (outputs, own vocabulary rows)
    std::vector<ScoreRequest> requests_;
    std::vector<Scores> scores_;
    ScoreBuffers score_buffers_;
};

}  // namespace shoal::exec
