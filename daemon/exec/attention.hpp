// Attention of a step's rows over the KV cache, in blocks with a running softmax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/shard/slice.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// A row and the cache blocks of its sequence.
struct AttendRow {
    std::uint32_t position;
    std::span<const std::uint32_t> blocks;
};

/// Owned by the thread that runs the steps. Results depend on a row's positions alone: a softmax
/// runs through the kSegmentChunks blocks of a segment, and segments are merged in order, whoever
/// computes them. Neighbouring rows of a sequence go through a block together.
class Attention {
  public:
    /// Blocks of a segment. Fewer share long contexts among threads more evenly, more merge less.
    static constexpr std::uint32_t kSegmentChunks = 4;

    /// `max_positions`: the longest sequence. Throws std::bad_alloc.
    Attention(const kernels::Table& kernels, ThreadPool& pool, const KvCache& cache,
              const shard::Slice& slice, std::uint32_t group, std::uint64_t max_positions,
              std::uint32_t max_rows);

    /// out[r] (own query heads * head_dim, at stride `out_stride`) = softmax(q k^T / sqrt(d)) v
    /// for the positions 0..rows[r].position of row r. q: (rows, own query heads * head_dim).
    void run(std::uint32_t layer, std::span<const AttendRow> rows, const float* q, float* out,
             std::size_t out_stride) noexcept;

    static std::uint64_t buffer_bytes(const shard::Slice& slice, std::uint32_t group,
                                      std::uint32_t head_dim, std::uint64_t max_positions,
                                      std::uint32_t threads) noexcept;

  private:
    // The running softmax of the heads of a tile's rows.
    struct State {
        float* max;  // (rows, heads)
        float* sum;  // (rows, heads)
        float* acc;  // (rows, heads, head_dim)
    };
    // Query heads of one KV head that go through the kernel together.
    struct HeadGroup {
        std::uint32_t kv_head;  // index among the held ones
        std::uint32_t first;    // index among the own query heads
        std::uint32_t count;
    };
    // Neighbouring rows of one sequence in ascending order of position.
    struct RowTile {
        std::size_t first;
        std::size_t count;
        std::uint32_t segments;  // of the last row
    };
    // What the tasks of one run() share.
    struct Step {
        std::uint32_t layer;
        std::span<const AttendRow> rows;
        const float* q;
        float* out;
        std::size_t out_stride;
    };

    void make_tiles(std::span<const AttendRow> rows, std::size_t most) noexcept;
    void run_split(const Step& step, std::size_t segments) noexcept;
    State state_at(float* base, std::size_t heads) const noexcept;
    State split_state(const RowTile& tile, std::size_t group, std::size_t segments,
                      std::size_t segment) noexcept;
    void whole_tile(const Step& step, const RowTile& tile, const HeadGroup& heads,
                    std::uint32_t worker) noexcept;
    // The first row of the tile that reaches a segment.
    static std::size_t first_row(const Step& step, const RowTile& tile,
                                 std::uint32_t segment) noexcept;
    void segment(const Step& step, const RowTile& tile, const HeadGroup& heads,
                 std::uint32_t segment, const State& into) const noexcept;
    void merge(const State& into, const State& from, std::size_t begin,
               std::size_t end) const noexcept;
    void finish(const Step& step, const RowTile& tile, const HeadGroup& heads,
                const State& state) const noexcept;

    const kernels::AttendFn attend_;
    ThreadPool& pool_;
    const KvCache& cache_;
    std::vector<HeadGroup> groups_;
    std::uint32_t q_dim_;
    std::uint32_t head_dim_;
    float scale_;               // 1 / sqrt(head_dim) and log2(e)
    std::size_t tile_rows_;     // rows of a tile at most
    std::size_t state_floats_;  // of one row's largest group
    std::size_t split_tasks_;   // rows * groups up to which segments are computed in parallel
    std::size_t max_segments_;
    std::vector<RowTile> tiles_;   // of the current step
    std::vector<float> scratch_;   // two states for each thread
    std::vector<float> partials_;  // states of split tasks
};

}  // namespace shoal::exec
