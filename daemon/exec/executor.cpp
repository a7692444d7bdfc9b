#include "daemon/exec/executor.hpp"

#include <algorithm>
#include <cmath>

namespace shoal::exec {
namespace {

// Rows that a thread takes at a time where every row is little work.
constexpr std::size_t kRowChunk = 4;
// The same where rows are also written to the cache.
constexpr std::size_t kCacheRows = 32;

KvShape kv_shape(const model::Hparams& hp, const shard::Slice& slice,
                 const ExecutorOptions& options) {
    return {hp.n_layers, slice.kv_heads.size(), hp.head_dim, options.kv_type};
}

// The widest input of a column-cut matrix: own columns and what completes their blocks. A block
// has at most 256 elements, so a cut adds less than that at each end.
std::size_t widest_cut(const model::Hparams& hp, const shard::Slice& slice) {
    constexpr std::size_t kMaxBlock = 256;
    return std::max<std::size_t>(slice.q_heads.size() * hp.head_dim, slice.ffn.size()) +
           2 * kMaxBlock;
}

}  // namespace

Executor::Executor(const model::Hparams& hparams, const shard::Slice& slice,
                   const SliceWeights& weights, const kernels::Table& kernels, ThreadPool& pool,
                   const ExecutorOptions& options)
    : hp_(hparams),
      slice_(slice),
      weights_(weights),
      kernels_(kernels),
      pool_(pool),
      options_(options),
      q_dim_(slice.q_heads.size() * hparams.head_dim),
      kv_dim_(slice.kv_heads.size() * hparams.head_dim),
      inv_freq_(hparams.inverse_frequencies()),
      cache_(kv_shape(hparams, slice, options), options.kv_positions),
      linear_(kernels, pool, options.max_rows,
              std::max<std::size_t>(hparams.dim, widest_cut(hparams, slice))),
      attention_(kernels, pool, cache_, slice, hparams.group(), options.kv_positions,
                 options.max_rows),
      all_reduce_(kernels, options.collectives, hparams.dim,
                  std::size_t{options.max_rows} * hparams.dim) {
    const std::size_t r = options.max_rows;
    rows_.reserve(r);
    x_.resize(r * hp_.dim);
    normed_.resize(r * hp_.dim);
    partial_.resize(r * hp_.dim);
    q_.resize(r * q_dim_);
    k_.resize(r * kv_dim_);
    v_.resize(r * kv_dim_);
    gate_.resize(r * slice_.ffn.size());
    up_.resize(r * slice_.ffn.size());
    wide_.resize(r * widest_cut(hp_, slice_));
    cos_.resize(r * (hp_.rope_dim / 2));
    sin_.resize(r * (hp_.rope_dim / 2));
    logits_.resize(std::size_t{options.max_outputs} * slice_.vocab.size());
}

Executor::~Executor() = default;

std::uint64_t Executor::buffer_bytes(const model::Hparams& hp, const shard::Slice& slice,
                                     const ExecutorOptions& options, std::uint32_t threads) {
    const std::uint64_t widest = widest_cut(hp, slice);
    const std::uint64_t row_floats =
        std::uint64_t{3} * hp.dim + slice.q_heads.size() * hp.head_dim +
        2 * slice.kv_heads.size() * hp.head_dim + 2 * slice.ffn.size() + widest + hp.rope_dim;
    return options.max_rows * (row_floats * sizeof(float) + std::uint64_t{4} * hp.dim) +
           Linear::buffer_bytes(options.max_rows, std::max<std::uint64_t>(hp.dim, widest)) +
           std::uint64_t{options.max_outputs} * slice.vocab.size() * sizeof(float) +
           Attention::buffer_bytes(slice, hp.group(), hp.head_dim, options.kv_positions, threads);
}

Status Executor::run(const Step& step, Collective& collective) {
    if (const Status status = prepare(step); status != Status::ok) return status;
    embed(step);
    compute_angles(step);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        if (const Status s = attention_block(l, collective); s != Status::ok) return s;
        if (const Status s = ffn_block(l, collective); s != Status::ok) return s;
    }
    score_outputs(step);
    return Status::ok;
}

Status Executor::prepare(const Step& step) {
    if (step.rows.size() > options_.max_rows || step.outputs.size() > options_.max_outputs) {
        return Status::malformed;
    }
    for (const SequenceId id : step.releases) cache_.release(id);
    for (const Fork& fork : step.forks) {
        if (!cache_.fork(fork.from, fork.to, fork.positions)) return Status::malformed;
    }
    for (const Row& row : step.rows) {
        if (row.position >= options_.kv_positions) return Status::malformed;
        if (!cache_.reserve(row.sequence, row.position, row.position + 1)) {
            return Status::no_memory;
        }
    }
    // Views are taken only now: reserving may move a sequence's list of blocks.
    rows_.clear();
    for (const Row& row : step.rows) {
        rows_.push_back({row.position, cache_.blocks(row.sequence)});
    }
    return Status::ok;
}

void Executor::embed(const Step& step) {
    // Every device gets the table's own bytes and turns them into the same floats.
    kernels::dequantize(step.embedding_type, step.embeddings.data(), x_.data(),
                        step.rows.size() * hp_.dim);
}

void Executor::compute_angles(const Step& step) {
    const std::size_t half = hp_.rope_dim / 2;
    for (std::size_t r = 0; r < step.rows.size(); ++r) {
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = double{inv_freq_[i]} * step.rows[r].position;
            cos_[r * half + i] = static_cast<float>(std::cos(angle));
            sin_[r * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

// x += wo @ attention(norm(x))
Status Executor::attention_block(std::uint32_t layer, Collective& collective) {
    const LayerWeights& w = weights_.layers()[layer];
    const std::size_t rows = rows_.size();
    const bool own = q_dim_ != 0;
    if (own) {
        pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            for (std::size_t r = begin; r < end; ++r) {
                kernels_.rms_norm(&x_[r * hp_.dim], w.attn_norm, &normed_[r * hp_.dim], hp_.dim,
                                  hp_.norm_eps);
            }
        });
        project_qkv(w);
        rotate_and_cache(layer, w);
        // wo's stored columns may reach beyond the own heads: those inputs stay zero.
        if (w.wo.cols != w.wo.own_cols) std::fill_n(wide_.begin(), rows * w.wo.cols, 0.0F);
        attention_.run(layer, rows_, q_.data(), wide_.data() + w.wo.skip, w.wo.cols);
        linear_.run(wide_.data(), rows, w.wo.cols, {{&w.wo, partial_.data()}});
    }
    return all_reduce_.run(collective, pool_, rows, own, partial_.data(), x_.data());
}

// q, k, v = wq, wk, wv @ norm(x), plus biases
void Executor::project_qkv(const LayerWeights& w) {
    const std::size_t rows = rows_.size();
    linear_.run(normed_.data(), rows, hp_.dim,
                {{&w.wq, q_.data()}, {&w.wk, k_.data()}, {&w.wv, v_.data()}});
    if (!hp_.qkv_bias) return;
    for (std::size_t r = 0; r < rows; ++r) {
        kernels_.add(&q_[r * q_dim_], w.q_bias, q_dim_);
        kernels_.add(&k_[r * kv_dim_], w.k_bias, kv_dim_);
        kernels_.add(&v_[r * kv_dim_], w.v_bias, kv_dim_);
    }
}

// Norms (qwen3) and rotation of q and k, then k and v into the cache
void Executor::rotate_and_cache(std::uint32_t layer, const LayerWeights& w) {
    // More rows at a time make the cache's runs longer, fewer keep all threads busy.
    const std::size_t chunk =
        std::clamp<std::size_t>(rows_.size() / (2 * pool_.threads()), kRowChunk, kCacheRows);
    pool_.run(rows_.size(), chunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) rotate(r, w);
        while (begin < end) {
            const std::size_t stop = end_of_run(begin, end);
            cache_rows(layer, begin, stop);
            begin = stop;
        }
    });
}

void Executor::rotate(std::size_t row, const LayerWeights& w) noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const std::size_t half = hp_.rope_dim / 2;
    float* q = &q_[row * q_dim_];
    float* k = &k_[row * kv_dim_];
    if (hp_.qk_norm) {
        for (std::uint32_t i = 0; i < q_dim_; i += hd) {
            kernels_.rms_norm(q + i, w.q_norm, q + i, hd, hp_.norm_eps);
        }
        for (std::uint32_t i = 0; i < kv_dim_; i += hd) {
            kernels_.rms_norm(k + i, w.k_norm, k + i, hd, hp_.norm_eps);
        }
    }
    const float* cos = &cos_[row * half];
    const float* sin = &sin_[row * half];
    kernels_.rope(q, q_dim_ / hd, hd, hp_.rope_dim, hp_.rope_kind, cos, sin);
    kernels_.rope(k, kv_dim_ / hd, hd, hp_.rope_dim, hp_.rope_kind, cos, sin);
}

// The rows from `begin` on that lie at neighbouring positions of one block.
std::size_t Executor::end_of_run(std::size_t begin, std::size_t end) const noexcept {
    std::size_t r = begin + 1;
    while (r < end && rows_[r].blocks.data() == rows_[begin].blocks.data() &&
           rows_[r].position == rows_[r - 1].position + 1 &&
           rows_[r].position % KvCache::kBlockPositions != 0) {
        ++r;
    }
    return r;
}

void Executor::cache_rows(std::uint32_t layer, std::size_t begin, std::size_t end) noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const AttendRow& first = rows_[begin];
    const std::uint32_t block = first.blocks[first.position / KvCache::kBlockPositions];
    const std::size_t at = first.position % KvCache::kBlockPositions;
    for (std::uint32_t h = 0; h < kv_dim_ / hd; ++h) {
        const std::size_t from = begin * kv_dim_ + h * hd;
        cache_.store_k(kernels_, block, layer, h, at, end - begin, &k_[from], kv_dim_);
        cache_.store_v(kernels_, block, layer, h, at, end - begin, &v_[from], kv_dim_);
    }
}

// x += w_down @ (silu(gate @ norm(x)) * (up @ norm(x)))
Status Executor::ffn_block(std::uint32_t layer, Collective& collective) {
    const LayerWeights& w = weights_.layers()[layer];
    const std::size_t rows = rows_.size();
    const std::size_t ff = slice_.ffn.size();
    if (ff != 0) {
        pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            for (std::size_t r = begin; r < end; ++r) {
                kernels_.rms_norm(&x_[r * hp_.dim], w.ffn_norm, &normed_[r * hp_.dim], hp_.dim,
                                  hp_.norm_eps);
            }
        });
        linear_.run(normed_.data(), rows, hp_.dim, {{&w.gate, gate_.data()}, {&w.up, up_.data()}});
        if (w.down.cols != ff) std::fill_n(wide_.begin(), rows * w.down.cols, 0.0F);
        pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            for (std::size_t r = begin; r < end; ++r) {
                kernels_.silu_mul(&gate_[r * ff], &up_[r * ff],
                                  &wide_[r * w.down.cols + w.down.skip], ff);
            }
        });
        linear_.run(wide_.data(), rows, w.down.cols, {{&w.down, partial_.data()}});
    }
    return all_reduce_.run(collective, pool_, rows, ff != 0, partial_.data(), x_.data());
}

// logits = output @ norm(x) for the rows that want them, then each device's candidates
void Executor::score_outputs(const Step& step) {
    const std::size_t n = step.outputs.size();
    const std::size_t vocab = slice_.vocab.size();
    requests_.resize(n);
    scores_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        requests_[i] = step.outputs[i].score;
        kernels_.rms_norm(&x_[step.outputs[i].row * hp_.dim], weights_.output_norm(),
                          &normed_[i * hp_.dim], hp_.dim, hp_.norm_eps);
    }
    linear_.run(normed_.data(), n, hp_.dim, {{&weights_.output(), logits_.data()}});
    const auto first = static_cast<std::int32_t>(slice_.vocab.begin);
    for (std::size_t i = 0; i < n; ++i) {
        const std::span<float> logits(logits_.data() + i * vocab, vocab);
        adjust_logits(kernels_, logits, first, requests_[i]);
        score_logits(kernels_, logits, first, requests_[i], score_buffers_, scores_[i]);
    }
}

const Scores& Executor::rescore(std::uint32_t output, std::uint32_t candidates) {
    requests_[output].candidates = candidates;
    score_logits(kernels_, logits(output), static_cast<std::int32_t>(slice_.vocab.begin),
                 requests_[output], score_buffers_, scores_[output]);
    return scores_[output];
}

std::span<const float> Executor::logits(std::uint32_t output) const noexcept {
    return {logits_.data() + output * slice_.vocab.size(), slice_.vocab.size()};
}

}  // namespace shoal::exec
