#include "daemon/exec/attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "daemon/model/hparams_limits.hpp"

namespace shoal::exec {
namespace {

using kernels::kAttendChunk;
using kernels::kMaxGroup;

constexpr std::uint32_t kSegmentPositions = Attention::kSegmentChunks * kAttendChunk;

// Tasks per thread from which on whole rows are shared out instead of segments of rows.
constexpr std::size_t kTasksPerThread = 4;

// The state of one task lies on the stack.
constexpr std::size_t kMaxHeadDim = model::limits::kMaxHeadDim;

std::uint32_t segments_of(std::uint64_t positions) {
    return static_cast<std::uint32_t>((positions + kSegmentPositions - 1) / kSegmentPositions);
}

std::size_t state_floats(std::uint32_t group, std::uint32_t head_dim) {
    return std::min<std::size_t>(group, kMaxGroup) * (head_dim + 2);
}

}  // namespace

Attention::Attention(const kernels::Table& kernels, ThreadPool& pool, const KvCache& cache,
                     const shard::Slice& slice, std::uint32_t group, std::uint64_t max_positions)
    : kernels_(kernels),
      pool_(pool),
      cache_(cache),
      q_dim_(slice.q_heads.size() * cache.shape().head_dim),
      head_dim_(cache.shape().head_dim),
      scale_(1 / std::sqrt(static_cast<float>(head_dim_))),
      state_floats_(state_floats(group, head_dim_)),
      split_tasks_(kTasksPerThread * pool.threads()),
      max_segments_(segments_of(max_positions)) {
    assert(head_dim_ <= kMaxHeadDim);
    for (std::uint32_t kv = slice.kv_heads.begin; kv < slice.kv_heads.end; ++kv) {
        std::uint32_t begin = std::max(kv * group, slice.q_heads.begin);
        const std::uint32_t end = std::min((kv + 1) * group, slice.q_heads.end);
        while (begin < end) {
            const auto count = std::min<std::uint32_t>(end - begin, kMaxGroup);
            groups_.push_back({kv - slice.kv_heads.begin, begin - slice.q_heads.begin, count});
            begin += count;
        }
    }
    // One thread gains nothing from splitting a row.
    if (pool.threads() > 1 && max_segments_ > 1 && !groups_.empty()) {
        partials_.resize(split_tasks_ * max_segments_ * state_floats_);
    }
}

std::uint64_t Attention::buffer_bytes(const shard::Slice& slice, std::uint32_t group,
                                      std::uint32_t head_dim, std::uint64_t max_positions,
                                      std::uint32_t threads) noexcept {
    if (threads <= 1 || slice.q_heads.empty() || segments_of(max_positions) <= 1) return 0;
    return std::uint64_t{kTasksPerThread} * threads * segments_of(max_positions) *
           state_floats(group, head_dim) * sizeof(float);
}

Attention::State Attention::state_at(std::size_t index) noexcept {
    float* base = partials_.data() + index * state_floats_;
    const std::size_t heads = state_floats_ / (head_dim_ + 2);
    return {base, base + heads, base + 2 * heads};
}

void Attention::run(std::uint32_t layer, std::span<const AttendRow> rows, const float* q,
                    float* out, std::size_t out_stride) noexcept {
    if (groups_.empty()) return;
    const std::size_t tasks = rows.size() * groups_.size();
    const auto q_of = [&](std::size_t row, const HeadGroup& heads) {
        return q + row * q_dim_ + heads.first * head_dim_;
    };
    const auto out_of = [&](std::size_t row, const HeadGroup& heads) {
        return out + row * out_stride + heads.first * head_dim_;
    };

    std::uint32_t longest = 0;
    for (const AttendRow& row : rows) longest = std::max(longest, row.position + 1);
    const std::size_t segments = segments_of(longest);
    if (partials_.empty() || tasks > split_tasks_ || segments == 1) {
        pool_.run(tasks, 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                const std::size_t row = t / groups_.size();
                const HeadGroup& heads = groups_[t % groups_.size()];
                whole_row(layer, rows[row], heads, q_of(row, heads), out_of(row, heads));
            }
        });
        return;
    }
    // Few rows with many positions: all threads share each row's segments, then merge them in
    // order, exactly as whole_row does.
    pool_.run(tasks * segments, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t t = i / segments;
            const auto s = static_cast<std::uint32_t>(i % segments);
            const std::size_t row = t / groups_.size();
            const HeadGroup& heads = groups_[t % groups_.size()];
            if (s < segments_of(rows[row].position + 1)) {
                segment(layer, rows[row], heads, q_of(row, heads), s, state_at(i));
            }
        }
    });
    pool_.run(tasks, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            const std::size_t row = t / groups_.size();
            const HeadGroup& heads = groups_[t % groups_.size()];
            const std::size_t own = segments_of(rows[row].position + 1);
            for (std::size_t s = 1; s < own; ++s) {
                merge(state_at(t * segments), state_at(t * segments + s), heads.count);
            }
            finish(state_at(t * segments), heads.count, out_of(row, heads));
        }
    });
}

void Attention::segment(std::uint32_t layer, const AttendRow& row, const HeadGroup& heads,
                        const float* q, std::uint32_t segment, const State& into) noexcept {
    const std::uint32_t positions = row.position + 1;
    const std::uint32_t first = segment * kSegmentChunks;
    const std::uint32_t last =
        std::min(first + kSegmentChunks,
                 static_cast<std::uint32_t>((positions + kAttendChunk - 1) / kAttendChunk));
    float max[kMaxGroup];
    float sum[kMaxGroup];
    alignas(64) float acc[kMaxGroup * kMaxHeadDim];
    for (std::uint32_t c = first; c < last; ++c) {
        const State state = c == first ? into : State{max, sum, acc};
        kernels::AttendChunk chunk;
        chunk.q = q;
        chunk.k = cache_.k(row.blocks[c], layer, heads.kv_head);
        chunk.v = cache_.v(row.blocks[c], layer, heads.kv_head);
        chunk.kv_stride = cache_.position_bytes();
        chunk.group = heads.count;
        chunk.head_dim = head_dim_;
        chunk.positions = std::min<std::size_t>(kAttendChunk, positions - c * kAttendChunk);
        chunk.scale = scale_;
        chunk.max = state.max;
        chunk.sum = state.sum;
        chunk.acc = state.acc;
        const bool f32 = cache_.shape().type == kernels::KvType::f32;
        (f32 ? kernels_.attend_f32 : kernels_.attend_f16)(chunk);
        if (c != first) merge(into, state, heads.count);
    }
}

void Attention::whole_row(std::uint32_t layer, const AttendRow& row, const HeadGroup& heads,
                          const float* q, float* out) noexcept {
    float max[2][kMaxGroup];
    float sum[2][kMaxGroup];
    alignas(64) float acc[2][kMaxGroup * kMaxHeadDim];
    const State total{max[0], sum[0], acc[0]};
    const State next{max[1], sum[1], acc[1]};
    const std::uint32_t segments = segments_of(row.position + 1);
    segment(layer, row, heads, q, 0, total);
    for (std::uint32_t s = 1; s < segments; ++s) {
        segment(layer, row, heads, q, s, next);
        merge(total, next, heads.count);
    }
    finish(total, heads.count, out);
}

void Attention::merge(const State& into, const State& from, std::uint32_t count) const noexcept {
    for (std::uint32_t h = 0; h < count; ++h) {
        const float max = std::max(into.max[h], from.max[h]);
        const float a = std::exp(into.max[h] - max);
        const float b = std::exp(from.max[h] - max);
        into.max[h] = max;
        into.sum[h] = into.sum[h] * a + from.sum[h] * b;
        float* x = into.acc + h * head_dim_;
        const float* y = from.acc + h * head_dim_;
        for (std::uint32_t i = 0; i < head_dim_; ++i) x[i] = x[i] * a + y[i] * b;
    }
}

void Attention::finish(const State& state, std::uint32_t count, float* out) const noexcept {
    for (std::uint32_t h = 0; h < count; ++h) {
        const float inverse = 1 / state.sum[h];
        for (std::uint32_t i = 0; i < head_dim_; ++i) {
            out[h * head_dim_ + i] = state.acc[h * head_dim_ + i] * inverse;
        }
    }
}

}  // namespace shoal::exec
