// One device's share of a layer's attention.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/exec/attention.hpp"
#include "daemon/exec/collective.hpp"
#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/exec/workspace.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::exec {

/// x += wo @ attention(norm(x)) for the rows of the workspace, in two halves. Owned by the thread
/// that runs the steps; all that it is made of must outlive it.
class AttentionBlock {
  public:
    /// Sequences have up to `max_positions`, steps up to `max_rows` rows. Throws std::bad_alloc.
    AttentionBlock(const model::Hparams& hparams, const shard::Slice& slice,
                   const kernels::Table& kernels, ThreadPool& pool, Linear& linear,
                   const KvCache& cache, Workspace& workspace, std::uint64_t max_positions,
                   std::uint32_t max_rows);

    /// The angles of the workspace's rows, for all layers.
    void begin() noexcept;

    /// q, k and v of norm(x), with biases, norms and rotation; k and v go into the cache.
    void project(std::uint32_t layer, const WeightsView& w, Residual& x) noexcept;

    /// x += wo @ attention(q) over what is cached.
    Status attend(std::uint32_t layer, const WeightsView& w, Residual& x, Collective& collective);

  private:
    void rotate(float* heads, std::size_t n, std::size_t row, const float* norm) const noexcept;
    std::size_t end_of_run(std::size_t begin, std::size_t end) const noexcept;
    void cache_rows(std::uint32_t layer, std::size_t begin, std::size_t end) const noexcept;

    const model::Hparams& hp_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    Linear& linear_;
    const KvCache& cache_;
    Workspace& ws_;
    Attention attention_;
    const std::vector<float> inv_freq_;
};

}  // namespace shoal::exec
