// Attention of a step's rows over the KV cache, in blocks with a running softmax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/shard/plan.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// A row and the cache blocks of its sequence.
struct AttendRow {
    std::uint32_t position;
    std::span<const std::uint32_t> blocks;
};

/// Owned by the thread that runs the steps. Results depend on a row's positions alone: chunks of
/// kAttendChunk positions are summed up in segments of kSegmentChunks, segments in order,
/// whoever computes them.
class Attention {
  public:
    /// Chunks whose results are merged before they meet those of other segments.
    static constexpr std::uint32_t kSegmentChunks = 8;

    /// `max_positions`: the longest sequence. Throws std::bad_alloc.
    Attention(const kernels::Table& kernels, ThreadPool& pool, const KvCache& cache,
              const shard::Slice& slice, std::uint32_t group, std::uint64_t max_positions);

    /// out[r] (own query heads * head_dim, at stride `out_stride`) = softmax(q k^T / sqrt(d)) v
    /// for the positions 0..rows[r].position of row r. q: (rows, own query heads * head_dim).
    void run(std::uint32_t layer, std::span<const AttendRow> rows, const float* q, float* out,
             std::size_t out_stride) noexcept;

    static std::uint64_t buffer_bytes(const shard::Slice& slice, std::uint32_t group,
                                      std::uint32_t head_dim, std::uint64_t max_positions,
                                      std::uint32_t threads) noexcept;

  private:
    // The running softmax of up to kMaxGroup heads.
    struct State {
        float* max;  // (heads)
        float* sum;  // (heads)
        float* acc;  // (heads, head_dim)
    };
    // Query heads of one KV head that go through the kernel together.
    struct HeadGroup {
        std::uint32_t kv_head;  // index among the held ones
        std::uint32_t first;    // index among the own query heads
        std::uint32_t count;
    };

    State state_at(std::size_t index) noexcept;
    void segment(std::uint32_t layer, const AttendRow& row, const HeadGroup& heads, const float* q,
                 std::uint32_t segment, const State& into) noexcept;
    void whole_row(std::uint32_t layer, const AttendRow& row, const HeadGroup& heads,
                   const float* q, float* out) noexcept;
    void merge(const State& into, const State& from, std::uint32_t count) const noexcept;
    void finish(const State& state, std::uint32_t count, float* out) const noexcept;

    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const KvCache& cache_;
    std::vector<HeadGroup> groups_;
    std::uint32_t q_dim_;
    std::uint32_t head_dim_;
    float scale_;
    std::size_t state_floats_;
    std::size_t split_tasks_;  // tasks up to which segments are computed in parallel
    std::size_t max_segments_;
    std::vector<float> partials_;  // states of split tasks
};

}  // namespace shoal::exec
