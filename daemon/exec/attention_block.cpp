#include "daemon/exec/attention_block.hpp"

#include <algorithm>
#include <cmath>

namespace shoal::exec {
namespace {

using enum model::Tensor;

// Rows that a thread takes at a time at most where rows are also written to the cache.
constexpr std::size_t kCacheRows = 32;

}  // namespace

AttentionBlock::AttentionBlock(const model::Hparams& hparams, const shard::Slice& slice,
                               const kernels::Table& kernels, ThreadPool& pool, Linear& linear,
                               const KvCache& cache, Workspace& workspace,
                               std::uint64_t max_positions, std::uint32_t max_rows)
    : hp_(hparams),
      kernels_(kernels),
      pool_(pool),
      linear_(linear),
      cache_(cache),
      ws_(workspace),
      attention_(kernels, pool, cache, slice, hparams.group(), max_positions, max_rows),
      inv_freq_(hparams.inverse_frequencies()) {}

void AttentionBlock::begin() noexcept {
    const std::size_t half = hp_.rope_dim / 2;
    for (std::size_t r = 0; r < ws_.rows.size(); ++r) {
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = double{inv_freq_[i]} * ws_.rows[r].position;
            ws_.cos[r * half + i] = static_cast<float>(std::cos(angle));
            ws_.sin[r * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

void AttentionBlock::project(std::uint32_t layer, const WeightsView& w, Residual& x) noexcept {
    const Activations& h = x.norm(w.floats(attn_norm), {&w[attn_q], &w[attn_k], &w[attn_v]});
    const std::size_t q_dim = ws_.q_dim;
    const std::size_t kv_dim = ws_.kv_dim;
    if (q_dim == 0) return;
    linear_.run(
        h, {{&w[attn_q], ws_.q.data()}, {&w[attn_k], ws_.k.data()}, {&w[attn_v], ws_.v.data()}});
    // More rows at a time make the cache's runs longer, fewer keep all threads busy.
    const std::size_t chunk =
        std::clamp<std::size_t>(x.rows() / (2 * pool_.threads()), kRowChunk, kCacheRows);
    pool_.run(x.rows(), chunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            float* const q = &ws_.q[r * q_dim];
            float* const k = &ws_.k[r * kv_dim];
            if (hp_.qkv_bias) {
                kernels_.add(q, w.floats(attn_q_bias), q_dim);
                kernels_.add(k, w.floats(attn_k_bias), kv_dim);
                kernels_.add(&ws_.v[r * kv_dim], w.floats(attn_v_bias), kv_dim);
            }
            rotate(q, q_dim, r, w.floats(attn_q_norm));
            rotate(k, kv_dim, r, w.floats(attn_k_norm));
        }
        while (begin < end) {
            const std::size_t stop = end_of_run(begin, end);
            cache_rows(layer, begin, stop);
            begin = stop;
        }
    });
}

// Norm, if the model has one, and rotation of a row's heads (n / head_dim, head_dim).
void AttentionBlock::rotate(float* heads, std::size_t n, std::size_t row,
                            const float* norm) const noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const std::size_t half = hp_.rope_dim / 2;
    if (norm != nullptr) {
        for (std::size_t i = 0; i < n; i += hd) {
            kernels_.rms_norm(heads + i, norm, heads + i, hd, hp_.norm_eps);
        }
    }
    kernels_.rope(heads, n / hd, hd, hp_.rope_dim, hp_.rope_kind, &ws_.cos[row * half],
                  &ws_.sin[row * half]);
}

// The rows from `begin` on that lie at neighbouring positions of one block.
std::size_t AttentionBlock::end_of_run(std::size_t begin, std::size_t end) const noexcept {
    const std::vector<AttendRow>& rows = ws_.rows;
    std::size_t r = begin + 1;
    while (r < end && rows[r].blocks.data() == rows[begin].blocks.data() &&
           rows[r].position == rows[r - 1].position + 1 &&
           rows[r].position % KvCache::kBlockPositions != 0) {
        ++r;
    }
    return r;
}

void AttentionBlock::cache_rows(std::uint32_t layer, std::size_t begin,
                                std::size_t end) const noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const AttendRow& first = ws_.rows[begin];
    const std::uint32_t block = first.blocks[first.position / KvCache::kBlockPositions];
    const std::size_t at = first.position % KvCache::kBlockPositions;
    const std::size_t kv_dim = ws_.kv_dim;
    for (std::uint32_t h = 0; h < kv_dim / hd; ++h) {
        const std::size_t from = begin * kv_dim + h * hd;
        cache_.store_k(kernels_, block, layer, h, at, end - begin, &ws_.k[from], kv_dim);
        cache_.store_v(kernels_, block, layer, h, at, end - begin, &ws_.v[from], kv_dim);
    }
}

Status AttentionBlock::attend(std::uint32_t layer, const WeightsView& w, Residual& x,
                              Collective& collective) {
    if (ws_.q_dim == 0) return x.add(collective, nullptr);
    const Matrix& wo = w[attn_output];
    const std::size_t rows = x.rows();
    const std::size_t cols = wo.cols;
    // wo's stored columns may reach beyond the own heads: those inputs stay zero.
    if (cols != wo.own_cols) std::fill_n(ws_.attended.begin(), rows * cols, 0.0F);
    attention_.run(layer, ws_.rows, ws_.q.data(), ws_.attended.data() + wo.skip, cols);
    ws_.inner.reset(rows, cols, {&wo});
    pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            ws_.inner.store(r, 0, &ws_.attended[r * cols], cols);
        }
    });
    linear_.run(ws_.inner, {{&wo, ws_.partial.data()}});
    return x.add(collective, ws_.partial.data());
}

}  // namespace shoal::exec
