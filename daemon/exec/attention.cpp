#include "daemon/exec/attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "daemon/model/hparams_limits.hpp"

namespace shoal::exec {
namespace {

using kernels::kAttendChunk;
using kernels::kMaxGroup;
using kernels::kMaxTileHeads;

constexpr std::uint32_t kSegmentPositions = Attention::kSegmentChunks * kAttendChunk;

// Tasks per thread from which on tiles of rows are shared out instead of segments of rows.
constexpr std::size_t kTasksPerThread = 4;

// Floats of a tile's weighted sums: with scores and a panel of K or V they leave half of a small
// second-level cache to others.
constexpr std::size_t kTileFloats = 8192;

constexpr float kLog2E = 1.44269504F;

std::uint32_t segments_of(std::uint64_t positions) {
    return static_cast<std::uint32_t>((positions + kSegmentPositions - 1) / kSegmentPositions);
}

std::size_t widest_group(std::uint32_t group) {
    return std::min<std::size_t>(group, kMaxGroup);
}

std::size_t state_floats(std::uint32_t group, std::uint32_t head_dim) {
    return widest_group(group) * (head_dim + 2);
}

std::size_t rows_of_tile(std::uint32_t group, std::uint32_t head_dim) {
    const std::size_t heads = std::min(kMaxTileHeads, kTileFloats / head_dim);
    return std::max<std::size_t>(1, heads / widest_group(group));
}

}  // namespace

Attention::Attention(const kernels::Table& kernels, ThreadPool& pool, const KvCache& cache,
                     const shard::Slice& slice, std::uint32_t group, std::uint64_t max_positions,
                     std::uint32_t max_rows)
    : attend_(kernels.attend_for(cache.shape().type)),
      pool_(pool),
      cache_(cache),
      q_dim_(slice.q_heads.size() * cache.shape().head_dim),
      head_dim_(cache.shape().head_dim),
      scale_(kLog2E / std::sqrt(static_cast<float>(head_dim_))),
      tile_rows_(rows_of_tile(group, head_dim_)),
      state_floats_(state_floats(group, head_dim_)),
      split_tasks_(kTasksPerThread * pool.threads()),
      max_segments_(segments_of(max_positions)) {
    for (std::uint32_t kv = slice.kv_heads.begin; kv < slice.kv_heads.end; ++kv) {
        std::uint32_t begin = std::max(kv * group, slice.q_heads.begin);
        const std::uint32_t end = std::min((kv + 1) * group, slice.q_heads.end);
        while (begin < end) {
            const auto count = std::min<std::uint32_t>(end - begin, kMaxGroup);
            groups_.push_back({kv - slice.kv_heads.begin, begin - slice.q_heads.begin, count});
            begin += count;
        }
    }
    if (groups_.empty()) return;
    tiles_.reserve(max_rows);
    scratch_.resize(2 * pool.threads() * tile_rows_ * state_floats_);
    // One thread gains nothing from splitting a row.
    if (pool.threads() > 1 && max_segments_ > 1) {
        partials_.resize(split_tasks_ * max_segments_ * state_floats_);
    }
}

std::uint64_t Attention::buffer_bytes(const shard::Slice& slice, std::uint32_t group,
                                      std::uint32_t head_dim, std::uint64_t max_positions,
                                      std::uint32_t threads) noexcept {
    if (slice.q_heads.empty()) return 0;
    const std::uint64_t segments = segments_of(max_positions);
    std::uint64_t states = std::uint64_t{2} * threads * rows_of_tile(group, head_dim);
    if (threads > 1 && segments > 1) states += std::uint64_t{kTasksPerThread} * threads * segments;
    return states * state_floats(group, head_dim) * sizeof(float);
}

// Splits only where a sequence ends, or a tile is full, or some threads would have nothing to do.
void Attention::make_tiles(std::span<const AttendRow> rows, std::size_t most) noexcept {
    tiles_.clear();
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::uint32_t segments = segments_of(std::uint64_t{rows[r].position} + 1);
        if (!tiles_.empty() && tiles_.back().count < most) {
            const AttendRow& before = rows[r - 1];
            if (before.blocks.data() == rows[r].blocks.data() &&
                before.position < rows[r].position) {
                ++tiles_.back().count;
                tiles_.back().segments = segments;
                continue;
            }
        }
        tiles_.push_back({r, 1, segments});
    }
}

void Attention::run(std::uint32_t layer, std::span<const AttendRow> rows, const float* q,
                    float* out, std::size_t out_stride) noexcept {
    if (groups_.empty() || rows.empty()) return;
    std::uint32_t longest = 0;
    for (const AttendRow& row : rows) longest = std::max(longest, row.position);
    const std::size_t segments = segments_of(std::uint64_t{longest} + 1);
    const bool split =
        !partials_.empty() && segments > 1 && rows.size() * groups_.size() <= split_tasks_;
    const std::size_t tasks_of_rows = rows.size() * groups_.size() * (split ? segments : 1);
    const std::size_t even = std::max<std::size_t>(1, tasks_of_rows / split_tasks_);
    make_tiles(rows, pool_.threads() == 1 ? tile_rows_ : std::min(tile_rows_, even));

    const Step step{layer, rows, q, out, out_stride};
    if (split) {
        run_split(step, segments);
        return;
    }
    const std::size_t tasks = tiles_.size() * groups_.size();
    pool_.run(tasks, 1, [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
        for (std::size_t t = begin; t < end; ++t) {
            // Later rows see more positions: the longest tasks come first, short ones even out.
            const std::size_t task = tasks - 1 - t;
            whole_tile(step, tiles_[task / groups_.size()], groups_[task % groups_.size()], worker);
        }
    });
}

// Few rows with many positions: all threads share each row's segments, then merge them in order,
// exactly as whole_tile does.
void Attention::run_split(const Step& step, std::size_t segments) noexcept {
    const std::size_t tasks = tiles_.size() * groups_.size();
    pool_.run(tasks * segments, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t t = i / segments;
            const auto s = static_cast<std::uint32_t>(i % segments);
            const RowTile& tile = tiles_[t / groups_.size()];
            const std::size_t group = t % groups_.size();
            if (s >= tile.segments) continue;
            segment(step, tile, groups_[group], s, split_state(tile, group, segments, s));
        }
    });
    pool_.run(tasks, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            const RowTile& tile = tiles_[t / groups_.size()];
            const std::size_t group = t % groups_.size();
            const HeadGroup& heads = groups_[group];
            const State total = split_state(tile, group, segments, 0);
            for (std::uint32_t s = 1; s < tile.segments; ++s) {
                merge(total, split_state(tile, group, segments, s),
                      first_row(step, tile, s) * heads.count, tile.count * heads.count);
            }
            finish(step, tile, heads, total);
        }
    });
}

Attention::State Attention::state_at(float* base, std::size_t heads) const noexcept {
    return {base, base + heads, base + 2 * heads};
}

Attention::State Attention::split_state(const RowTile& tile, std::size_t group,
                                        std::size_t segments, std::size_t segment) noexcept {
    const std::size_t rows_before = tile.first * groups_.size() + group * tile.count;
    const std::size_t index = rows_before * segments + segment * tile.count;
    return state_at(partials_.data() + index * state_floats_, tile.count * groups_[group].count);
}

std::size_t Attention::first_row(const Step& step, const RowTile& tile,
                                 std::uint32_t segment) noexcept {
    std::size_t row = 0;
    while (step.rows[tile.first + row].position < segment * kSegmentPositions) ++row;
    return row;
}

void Attention::segment(const Step& step, const RowTile& tile, const HeadGroup& heads,
                        std::uint32_t segment, const State& into) const noexcept {
    const std::size_t first = first_row(step, tile, segment);
    const std::size_t begin = first * heads.count;
    const std::size_t end = tile.count * heads.count;
    std::fill(into.max + begin, into.max + end, -std::numeric_limits<float>::infinity());
    std::fill(into.sum + begin, into.sum + end, 0.0F);
    std::fill(into.acc + begin * head_dim_, into.acc + end * head_dim_, 0.0F);

    const std::span<const AttendRow> rows = step.rows.subspan(tile.first, tile.count);
    std::uint32_t positions[kMaxTileHeads];
    kernels::AttendTile call;
    call.q_stride = q_dim_;
    call.positions = positions;
    call.group = heads.count;
    call.head_dim = head_dim_;
    call.scale = scale_;
    std::size_t row = first;
    const std::uint32_t last = segment * kSegmentChunks + kSegmentChunks;
    for (std::uint32_t c = segment * kSegmentChunks; c < last; ++c) {
        const std::uint32_t before = c * kAttendChunk;
        while (row < rows.size() && rows[row].position < before) ++row;
        if (row == rows.size()) return;
        call.rows = rows.size() - row;
        for (std::size_t r = 0; r < call.rows; ++r) {
            positions[r] =
                std::min<std::uint32_t>(kAttendChunk, rows[row + r].position + 1 - before);
        }
        const std::size_t at = row * heads.count;
        call.q = step.q + (tile.first + row) * q_dim_ + heads.first * head_dim_;
        call.k = cache_.k(rows[row].blocks[c], step.layer, heads.kv_head);
        call.v = cache_.v(rows[row].blocks[c], step.layer, heads.kv_head);
        const bool more = rows.back().position >= before + kAttendChunk;
        call.next = more ? cache_.k(rows[row].blocks[c + 1], step.layer, heads.kv_head) : nullptr;
        call.max = into.max + at;
        call.sum = into.sum + at;
        call.acc = into.acc + at * head_dim_;
        attend_(call);
    }
}

void Attention::whole_tile(const Step& step, const RowTile& tile, const HeadGroup& heads,
                           std::uint32_t worker) noexcept {
    const std::size_t floats = tile_rows_ * state_floats_;
    float* base = scratch_.data() + std::size_t{2} * worker * floats;
    const std::size_t count = tile.count * heads.count;
    const State total = state_at(base, count);
    const State next = state_at(base + floats, count);
    segment(step, tile, heads, 0, total);
    for (std::uint32_t s = 1; s < tile.segments; ++s) {
        segment(step, tile, heads, s, next);
        merge(total, next, first_row(step, tile, s) * heads.count, count);
    }
    finish(step, tile, heads, total);
}

void Attention::merge(const State& into, const State& from, std::size_t begin,
                      std::size_t end) const noexcept {
    for (std::size_t h = begin; h < end; ++h) {
        const float max = std::max(into.max[h], from.max[h]);
        const float a = std::exp2((into.max[h] - max) * scale_);
        const float b = std::exp2((from.max[h] - max) * scale_);
        into.max[h] = max;
        into.sum[h] = into.sum[h] * a + from.sum[h] * b;
        float* x = into.acc + h * head_dim_;
        const float* y = from.acc + h * head_dim_;
        for (std::uint32_t i = 0; i < head_dim_; ++i) x[i] = x[i] * a + y[i] * b;
    }
}

void Attention::finish(const Step& step, const RowTile& tile, const HeadGroup& heads,
                       const State& state) const noexcept {
    for (std::size_t r = 0; r < tile.count; ++r) {
        float* out = step.out + (tile.first + r) * step.out_stride + heads.first * head_dim_;
        for (std::size_t g = 0; g < heads.count; ++g) {
            const std::size_t h = r * heads.count + g;
            const float inverse = 1 / state.sum[h];
            const float* acc = state.acc + h * head_dim_;
            for (std::uint32_t i = 0; i < head_dim_; ++i) *out++ = acc[i] * inverse;
        }
    }
}

}  // namespace shoal::exec
