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

// The widest input of a column-cut matrix with `own` columns: these and what completes their
// blocks. A block has at most 256 elements, so a cut adds less than that at each end.
std::size_t widest_cut(std::size_t own) {
    constexpr std::size_t kMaxBlock = 256;
    return own + 2 * kMaxBlock;
}

std::size_t widest_attended(const model::Hparams& hp, const shard::Slice& slice) {
    return widest_cut(slice.q_heads.size() * hp.head_dim);
}

std::size_t widest_inner(const model::Hparams& hp, const shard::Slice& slice) {
    return std::max(widest_attended(hp, slice), widest_cut(slice.ffn.size()));
}

bool reads_floats(const SliceWeights& weights) {
    const auto is_float = [](const Matrix& w) { return w.rows != 0 && kernels::is_float(w.type); };
    for (const LayerWeights& w : weights.layers()) {
        for (const Matrix* m : {&w.wq, &w.wk, &w.wv, &w.wo, &w.gate, &w.up, &w.down}) {
            if (is_float(*m)) return true;
        }
    }
    return is_float(weights.output());
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
      linear_(kernels, pool),
      attention_(kernels, pool, cache_, slice, hparams.group(), options.kv_positions,
                 options.max_rows),
      all_reduce_(kernels, options.collectives, hparams.dim,
                  std::size_t{options.max_rows} * hparams.dim),
      hidden_(kernels, options.max_rows, hparams.dim, reads_floats(weights)),
      inner_(kernels, options.max_rows, widest_inner(hparams, slice), reads_floats(weights)) {
    const std::size_t r = options.max_rows;
    rows_.reserve(r);
    x_.resize(r * hp_.dim);
    normed_.resize(std::size_t{pool.threads()} * hp_.dim);
    partial_.resize(r * hp_.dim);
    q_.resize(r * q_dim_);
    k_.resize(r * kv_dim_);
    v_.resize(r * kv_dim_);
    attended_.resize(r * widest_attended(hp_, slice_));
    cos_.resize(r * (hp_.rope_dim / 2));
    sin_.resize(r * (hp_.rope_dim / 2));
    logits_.resize(std::size_t{options.max_outputs} * slice_.vocab.size());
}

Executor::~Executor() = default;

std::uint64_t Executor::buffer_bytes(const model::Hparams& hp, const shard::Slice& slice,
                                     const ExecutorOptions& options, std::uint32_t threads) {
    const std::uint64_t row_floats =
        std::uint64_t{2} * hp.dim + slice.q_heads.size() * hp.head_dim +
        2 * slice.kv_heads.size() * hp.head_dim + widest_attended(hp, slice) + hp.rope_dim;
    // Floats of activations are counted although quantised models do not have them.
    return options.max_rows * (row_floats * sizeof(float) + std::uint64_t{4} * hp.dim) +
           Activations::buffer_bytes(options.max_rows, hp.dim, true) +
           Activations::buffer_bytes(options.max_rows, widest_inner(hp, slice), true) +
           Linear::buffer_bytes(threads) + std::uint64_t{threads} * hp.dim * sizeof(float) +
           std::uint64_t{options.max_outputs} * slice.vocab.size() * sizeof(float) +
           Attention::buffer_bytes(slice, hp.group(), hp.head_dim, options.kv_positions, threads);
}

Status Executor::run(const Step& step, Collective& collective) {
    if (const Status status = prepare(step); status != Status::ok) return status;
    compute_angles();
    embed(step);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        if (const Status s = attention_block(step, l, collective); s != Status::ok) return s;
        if (rows_.empty()) break;
        if (const Status s = ffn_block(l, collective); s != Status::ok) return s;
    }
    score_outputs(step);
    return Status::ok;
}

Status Executor::prepare(const Step& step) {
    if (step.rows.size() > options_.max_rows || step.outputs.size() > options_.max_outputs) {
        return Status::malformed;
    }
    std::size_t after = 0;  // the last output's row
    for (const Output& output : step.outputs) {
        if (output.row < after || output.row >= step.rows.size()) return Status::malformed;
        after = std::size_t{output.row} + 1;
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

// x = embeddings, and its norm for the first layer.
void Executor::embed(const Step& step) {
    const LayerWeights& first = weights_.layers().front();
    const std::size_t bytes = kernels::row_bytes(step.embedding_type, hp_.dim);
    hidden_.reset(rows_.size(), hp_.dim, {&first.wq, &first.wk, &first.wv});
    pool_.run(rows_.size(), kRowChunk,
              [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
                  // Every device gets the table's own bytes and turns them into the same floats.
                  kernels::dequantize(step.embedding_type, step.embeddings.data() + begin * bytes,
                                      &x_[begin * hp_.dim], (end - begin) * hp_.dim);
                  normalise(begin, end, first.attn_norm, worker);
              });
}

void Executor::compute_angles() {
    const std::size_t half = hp_.rope_dim / 2;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = double{inv_freq_[i]} * rows_[r].position;
            cos_[r * half + i] = static_cast<float>(std::cos(angle));
            sin_[r * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

// hidden_ = norm(x) of the rows [begin, end), if anyone reads it.
void Executor::normalise(std::size_t begin, std::size_t end, const float* weight,
                         std::uint32_t worker) noexcept {
    if (!hidden_.wanted()) return;
    float* row = &normed_[worker * hp_.dim];
    for (std::size_t r = begin; r < end; ++r) {
        kernels_.rms_norm(&x_[r * hp_.dim], weight, row, hp_.dim, hp_.norm_eps);
        hidden_.store(r, 0, row, hp_.dim);
    }
}

// x += the devices' partial sums; then hidden_ = norm(x) for what reads it next, while the row lies
// in the cache.
Status Executor::reduce(Collective& collective, bool contributes, const float* next_norm,
                        std::initializer_list<const Matrix*> readers) {
    const std::size_t rows = rows_.size();
    const Status status =
        all_reduce_.exchange(collective, pool_, rows, contributes, partial_.data());
    if (status != Status::ok) return status;
    hidden_.reset(rows, hp_.dim, readers);
    pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
        all_reduce_.add(begin, end, x_.data());
        normalise(begin, end, next_norm, worker);
    });
    return Status::ok;
}

// x += wo @ attention(norm(x))
Status Executor::attention_block(const Step& step, std::uint32_t layer, Collective& collective) {
    const LayerWeights& w = weights_.layers()[layer];
    const bool own = q_dim_ != 0;
    if (own) {
        linear_.run(hidden_, {{&w.wq, q_.data()}, {&w.wk, k_.data()}, {&w.wv, v_.data()}});
        rotate_and_cache(layer, w);
    }
    if (layer + 1 == hp_.n_layers) keep_outputs(step);
    const std::size_t rows = rows_.size();
    if (rows == 0) return Status::ok;
    if (own) {
        const std::size_t cols = w.wo.cols;
        // wo's stored columns may reach beyond the own heads: those inputs stay zero.
        if (cols != w.wo.own_cols) std::fill_n(attended_.begin(), rows * cols, 0.0F);
        attention_.run(layer, rows_, q_.data(), attended_.data() + w.wo.skip, cols);
        inner_.reset(rows, cols, {&w.wo});
        pool_.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            for (std::size_t r = begin; r < end; ++r) {
                inner_.store(r, 0, &attended_[r * cols], cols);
            }
        });
        linear_.run(inner_, {{&w.wo, partial_.data()}});
    }
    return reduce(collective, own, w.ffn_norm, {&w.gate, &w.up});
}

// After the last layer's K and V nobody reads rows without an output.
void Executor::keep_outputs(const Step& step) noexcept {
    const std::size_t n = step.outputs.size();
    if (n == rows_.size()) return;
    for (std::size_t i = 0; i < n; ++i) {
        // Outputs ascend, so a row moves down or stays.
        const std::size_t row = step.outputs[i].row;
        std::copy_n(&x_[row * hp_.dim], hp_.dim, &x_[i * hp_.dim]);
        std::copy_n(q_.data() + row * q_dim_, q_dim_, q_.data() + i * q_dim_);
        rows_[i] = rows_[row];
    }
    rows_.resize(n);
}

// Biases (qwen2), norms (qwen3) and rotation of q and k, then k and v into the cache
void Executor::rotate_and_cache(std::uint32_t layer, const LayerWeights& w) {
    // More rows at a time make the cache's runs longer, fewer keep all threads busy.
    const std::size_t chunk =
        std::clamp<std::size_t>(rows_.size() / (2 * pool_.threads()), kRowChunk, kCacheRows);
    pool_.run(rows_.size(), chunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            if (hp_.qkv_bias) {
                kernels_.add(&q_[r * q_dim_], w.q_bias, q_dim_);
                kernels_.add(&k_[r * kv_dim_], w.k_bias, kv_dim_);
                kernels_.add(&v_[r * kv_dim_], w.v_bias, kv_dim_);
            }
            rotate(&q_[r * q_dim_], q_dim_, r, w.q_norm);
            rotate(&k_[r * kv_dim_], kv_dim_, r, w.k_norm);
        }
        while (begin < end) {
            const std::size_t stop = end_of_run(begin, end);
            cache_rows(layer, begin, stop);
            begin = stop;
        }
    });
}

// Norm, if the model has one, and rotation of a row's heads (n / head_dim, head_dim).
void Executor::rotate(float* heads, std::size_t n, std::size_t row, const float* norm) noexcept {
    const std::uint32_t hd = hp_.head_dim;
    const std::size_t half = hp_.rope_dim / 2;
    if (hp_.qk_norm) {
        for (std::size_t i = 0; i < n; i += hd) {
            kernels_.rms_norm(heads + i, norm, heads + i, hd, hp_.norm_eps);
        }
    }
    kernels_.rope(heads, n / hd, hd, hp_.rope_dim, hp_.rope_kind, &cos_[row * half],
                  &sin_[row * half]);
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
    const bool own = !slice_.ffn.empty();
    if (own) {
        if (w.down.cols != w.down.own_cols) {
            inner_.reset_zero(rows_.size(), w.down.cols, {&w.down});
        } else {
            inner_.reset(rows_.size(), w.down.cols, {&w.down});
        }
        linear_.run_gated(hidden_, w.gate, w.up, inner_, w.down.skip);
        linear_.run(inner_, {{&w.down, partial_.data()}});
    }
    if (layer + 1 == hp_.n_layers) {
        return reduce(collective, own, weights_.output_norm(), {&weights_.output()});
    }
    const LayerWeights& next = weights_.layers()[layer + 1];
    return reduce(collective, own, next.attn_norm, {&next.wq, &next.wk, &next.wv});
}

// logits = output @ norm(x) for the rows that want them, then each device's candidates
void Executor::score_outputs(const Step& step) {
    const std::size_t n = step.outputs.size();
    const std::size_t vocab = slice_.vocab.size();
    requests_.resize(n);
    scores_.resize(n);
    if (n != 0) linear_.run(hidden_, {{&weights_.output(), logits_.data()}});
    const auto first = static_cast<std::int32_t>(slice_.vocab.begin);
    for (std::size_t i = 0; i < n; ++i) {
        requests_[i] = step.outputs[i].score;
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
