#include "daemon/exec/attention_block.hpp"

#include <algorithm>
#include <cmath>

namespace shoal::exec {
namespace {

using enum model::Tensor;

// Rows that a thread writes to the cache at a time at most.
constexpr std::size_t kCacheRows = 32;

// The rows from `begin` on that lie at neighbouring positions of one block.
std::size_t end_of_run(const std::vector<AttendRow>& rows, std::size_t begin,
                       std::size_t end) noexcept {
    std::size_t r = begin + 1;
    while (r < end && rows[r].blocks.data() == rows[begin].blocks.data() &&
           rows[r].position == rows[r - 1].position + 1 &&
           rows[r].position % KvCache::kBlockPositions != 0) {
        ++r;
    }
    return r;
}

}  // namespace

AttentionBlock::AttentionBlock(const model::Hparams& hparams, const shard::Slice& slice,
                               const kernels::Table& kernels, ThreadPool& pool, Linear& linear,
                               const KvCache& cache, std::uint64_t max_positions,
                               std::uint32_t max_rows)
    : hp_(hparams),
      kernels_(kernels),
      pool_(pool),
      linear_(linear),
      cache_(cache),
      attention_(kernels, pool, cache, slice, hparams.group(), max_positions, max_rows),
      inv_freq_(hparams.inverse_frequencies()) {}

void AttentionBlock::begin(Workspace& ws) const noexcept {
    const std::size_t half = hp_.rope_dim / 2;
    for (std::size_t r = 0; r < ws.rows.size(); ++r) {
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = double{inv_freq_[i]} * ws.rows[r].position;
            ws.cos[r * half + i] = static_cast<float>(std::cos(angle));
            ws.sin[r * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

void AttentionBlock::project(const WeightsView& w, Residual& x, Workspace& ws) noexcept {
    const Activations& h = x.norm(w.floats(attn_norm), {&w[attn_q], &w[attn_k], &w[attn_v]});
    const std::size_t q_dim = ws.q_dim;
    const std::size_t kv_dim = ws.kv_dim;
    if (q_dim == 0) return;
    linear_.run(h,
                {{&w[attn_q], ws.q.data()}, {&w[attn_k], ws.k.data()}, {&w[attn_v], ws.v.data()}});
    pool_.run(x.rows(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            float* const q = &ws.q[r * q_dim];
            float* const k = &ws.k[r * kv_dim];
            if (hp_.qkv_bias) {
                kernels_.add(q, w.floats(attn_q_bias), q_dim);
                kernels_.add(k, w.floats(attn_k_bias), kv_dim);
                kernels_.add(&ws.v[r * kv_dim], w.floats(attn_v_bias), kv_dim);
            }
            rotate(q, q_dim, r, w.floats(attn_q_norm), ws);
            rotate(k, kv_dim, r, w.floats(attn_k_norm), ws);
        }
    });
}

// Norm, if the model has one, and rotation of a row's heads (n / head_dim, head_dim).
void AttentionBlock::rotate(float* heads, std::size_t n, std::size_t row, const float* norm,
                            const Workspace& ws) const noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const std::size_t half = hp_.rope_dim / 2;
    if (norm != nullptr) {
        for (std::size_t i = 0; i < n; i += hd) {
            kernels_.rms_norm(heads + i, norm, heads + i, hd, hp_.norm_eps);
        }
    }
    kernels_.rope(heads, n / hd, hd, hp_.rope_dim, hp_.rope_kind, &ws.cos[row * half],
                  &ws.sin[row * half]);
}

void AttentionBlock::keep(std::uint32_t layer, const Workspace& ws) noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const std::size_t kv_dim = ws.kv_dim;
    if (kv_dim == 0) return;
    // More rows at a time make the cache's runs longer, fewer keep all threads busy.
    const std::size_t chunk =
        std::clamp<std::size_t>(ws.rows.size() / (2 * pool_.threads()), kRowChunk, kCacheRows);
    pool_.run(ws.rows.size(), chunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t stop = begin; begin < end; begin = stop) {
            stop = end_of_run(ws.rows, begin, end);
            const AttendRow& first = ws.rows[begin];
            const std::uint32_t block = first.blocks[first.position / KvCache::kBlockPositions];
            const std::size_t at = first.position % KvCache::kBlockPositions;
            for (std::uint32_t h = 0; h < kv_dim / hd; ++h) {
                const std::size_t from = begin * kv_dim + h * hd;
                const std::size_t count = stop - begin;
                cache_.store_k(kernels_, block, layer, h, at, count, &ws.k[from], kv_dim);
                cache_.store_v(kernels_, block, layer, h, at, count, &ws.v[from], kv_dim);
            }
        }
    });
}

void AttentionBlock::attend(std::uint32_t layer, const WeightsView& w, Workspace& ws) noexcept {
    const Matrix& wo = w[attn_output];
    // wo's stored columns may reach beyond the own heads: those inputs stay zero.
    if (wo.cols != wo.own_cols) {
        std::fill_n(ws.attended.begin(), ws.rows.size() * wo.cols, 0.0F);
    }
    attention_.run(layer, ws.rows, ws.q.data(), ws.attended.data() + wo.skip, wo.cols);
}

void AttentionBlock::attend(std::uint32_t layer, Workspace& ws) noexcept {
    attention_.run(layer, ws.rows, ws.q.data(), ws.attended.data(), ws.q_dim);
}

Status AttentionBlock::project_back(const WeightsView& w, Residual& x, Workspace& ws,
                                    LayerCollective& collective) {
    if (ws.q_dim == 0) return x.add(collective, nullptr);
    const Matrix& wo = w[attn_output];
    const std::size_t cols = wo.cols;
    ws.inner.reset(x.rows(), cols, {&wo});
    pool_.run(x.rows(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            ws.inner.store(r, 0, &ws.attended[r * cols], cols);
        }
    });
    linear_.run(ws.inner, {{&wo, ws.partial.data()}});
    return x.add(collective, ws.partial.data());
}

}  // namespace shoal::exec
