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

/// x += wo @ attention(norm(x)), a part at a time. Each takes the buffers that it works in: those
/// of rows with all their heads and those of heads with all their rows are the same where a device
/// computes its heads for all rows, and two where it shares out rows (sequence_parallel.hpp).
/// Owned by the thread that runs the steps; all that it is made of must outlive it.
class AttentionBlock {
  public:
    /// For the heads of `slice`. Sequences have up to `max_positions`, steps up to `max_rows` rows.
    /// Throws std::bad_alloc.
    AttentionBlock(const model::Hparams& hparams, const shard::Slice& slice,
                   const kernels::Table& kernels, ThreadPool& pool, Linear& linear,
                   const KvCache& cache, std::uint64_t max_positions, std::uint32_t max_rows);

    /// ws.cos, ws.sin = the angles of ws.rows, for all layers.
    void begin(Workspace& ws) const noexcept;

    /// ws.q, ws.k, ws.v = those of norm(x), with biases, norms and rotation.
    void project(const WeightsView& w, Residual& x, Workspace& ws) noexcept;

    /// ws.k and ws.v go into the cache.
    void keep(std::uint32_t layer, const Workspace& ws) noexcept;

    /// ws.attended = attention(ws.q) over what is cached, for wo as `w` has it: (rows, wo.cols),
    /// zero where these columns are not the slice's own.
    void attend(std::uint32_t layer, const WeightsView& w, Workspace& ws) noexcept;
    /// The same without columns that are not the slice's own: (rows, q_dim).
    void attend(std::uint32_t layer, Workspace& ws) noexcept;

    /// x += wo @ ws.attended.
    Status project_back(const WeightsView& w, Residual& x, Workspace& ws,
                        LayerCollective& collective);

  private:
    void rotate(float* heads, std::size_t n, std::size_t row, const float* norm,
                const Workspace& ws) const noexcept;

    const model::Hparams& hp_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    Linear& linear_;
    const KvCache& cache_;
    Attention attention_;
    const std::vector<float> inv_freq_;
};

}  // namespace shoal::exec
