// Steps whose rows are shared out among the devices: long prompts, after DeepSpeed-Ulysses
// (Jacobs et al. 2023). What people ask about it: SEQUENCE.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/payload.hpp"
#include "daemon/exec/step.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/workspace.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// How a plan's devices share out the rows of a step, in rank order.
struct RowShares {
    std::vector<shard::Slice> slices;   ///< whose heads each device computes, for all rows
    std::vector<std::uint32_t> shares;  ///< of the rows; 0: none. Not all 0

    /// Rank r's rows are [begins[r], begins[r + 1]), as the shares say.
    void cut(std::size_t rows, std::vector<std::size_t>& begins) const;
    /// The most rows that a rank gets of at most so many.
    std::size_t most(std::uint32_t rank, std::size_t rows) const noexcept;
};

/// Turns "my rows, all heads" into "all rows, my heads" and back, by an all-to-all each. Owned by
/// the thread that runs the steps; all that it is made of must outlive it.
class SequenceParallel {
  public:
    /// `kv_type`: how K and V travel, as the cache holds them; `payload`: how q and what attention
    /// makes of it do. `floats`: see Workspace. Throws std::bad_alloc.
    SequenceParallel(const model::Hparams& hparams, const kernels::Table& kernels, ThreadPool& pool,
                     const RowShares& shares, std::uint32_t rank, kernels::KvType kv_type,
                     PayloadType payload, std::uint32_t max_rows, bool floats);

    static std::uint64_t bytes(const model::Hparams& hparams, const RowShares& shares,
                               std::uint32_t rank, std::uint32_t max_rows);

    /// The rows of a step, of which this device takes [first(), first() + count()) into local().
    void begin(const Workspace& heads);
    std::size_t first() const noexcept { return begins_[rank_]; }
    std::size_t count() const noexcept { return begins_[rank_ + 1] - begins_[rank_]; }
    /// Of the step's rows only these stay, ascending.
    void keep(std::span<const std::uint32_t> rows) noexcept;

    /// The buffers of this device's rows, with all heads.
    Workspace& local() noexcept { return local_; }

    /// heads.q, heads.k, heads.v (all rows, own heads) = everyone's local q, k and v.
    Status to_heads(LayerCollective& collective, Workspace& heads);
    /// local.attended (own rows, all heads) = everyone's heads.attended (all rows, own heads).
    Status to_rows(LayerCollective& collective, const Workspace& heads);

  private:
    std::size_t rows_of(std::size_t rank) const noexcept {
        return begins_[rank + 1] - begins_[rank];
    }
    std::size_t rank_of(std::size_t row) const noexcept;
    void encode_heads(std::size_t begin, std::size_t end) noexcept;

    const std::size_t head_dim_;
    ThreadPool& pool_;
    const RowShares& shares_;
    const std::uint32_t rank_;
    const PayloadCode kv_code_, code_;
    Workspace local_;
    std::vector<std::size_t> begins_;  // first row of each rank, and the end
    std::vector<std::byte> message_;   // parts for each rank, one behind another
    std::vector<std::span<const std::byte>> parts_, received_;
};

}  // namespace shoal::exec
