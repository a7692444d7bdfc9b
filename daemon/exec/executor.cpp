#include "daemon/exec/executor.hpp"

#include <algorithm>

#include "daemon/exec/ffn_block.hpp"
#include "daemon/exec/moe_block.hpp"

namespace shoal::exec {
namespace {

KvShape kv_shape(const model::Hparams& hp, const shard::Slice& slice,
                 const ExecutorOptions& options) {
    return {hp.n_layers, slice.kv_heads.size(), hp.head_dim, options.kv_type};
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
      cache_(kv_shape(hparams, slice, options), options.kv_positions),
      linear_(kernels, pool),
      workspace_(hp_, slice_, kernels, options.max_rows, weights.reads_floats()),
      x_(hp_, kernels, pool, options.collectives, options.scatter_rows, options.max_rows,
         weights.reads_floats()),
      attention_(hp_, slice_, kernels, pool, linear_, cache_, workspace_, options.kv_positions,
                 options.max_rows),
      logits_(std::size_t{options.max_outputs} * slice.vocab.size()) {}

std::uint64_t Executor::buffer_bytes(const model::Hparams& hp, const shard::Slice& slice,
                                     const ExecutorOptions& options, std::uint32_t threads) {
    return Workspace::bytes(hp, slice, options.max_rows) +
           Residual::bytes(hp, options.max_rows, threads, options.scatter_rows != 0) +
           Linear::buffer_bytes(threads) +
           std::uint64_t{options.max_outputs} * slice.vocab.size() * sizeof(float) +
           Attention::buffer_bytes(slice, hp.group(), hp.head_dim, options.kv_positions, threads);
}

Status Executor::run(const Step& step, Collective& collective) {
    if (const Status s = prepare(step); s != Status::ok) return s;
    x_.begin(step.rows.size(), step.embedding_type, step.embeddings.data());
    attention_.begin();
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        const WeightsView& w = weights_.layer(l);
        attention_.project(l, w, x_);
        if (l + 1 == hp_.n_layers) keep_outputs(step);
        if (x_.rows() == 0) break;
        if (const Status s = attention_.attend(l, w, x_, collective); s != Status::ok) return s;
        if (const Status s = feed_forward(w, collective); s != Status::ok) return s;
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
    workspace_.rows.clear();
    for (const Row& row : step.rows) {
        workspace_.rows.push_back({row.position, cache_.blocks(row.sequence)});
    }
    return Status::ok;
}

Status Executor::feed_forward(const WeightsView& w, Collective& collective) {
    if (hp_.n_experts == 0) return ffn_block(w, x_, linear_, workspace_, collective);
    return moe_block(hp_, w, x_, linear_, pool_, workspace_, collective);
}

// After the last layer's K and V nobody reads rows without an output.
void Executor::keep_outputs(const Step& step) noexcept {
    const std::size_t n = step.outputs.size();
    if (n == x_.rows()) return;
    for (std::size_t i = 0; i < n; ++i) {
        // Outputs ascend, so a row moves down or stays.
        x_.copy_row(step.outputs[i].row, i);
        workspace_.copy_row(step.outputs[i].row, i);
    }
    x_.shrink(n);
    workspace_.rows.resize(n);
}

// logits = output @ norm(x) for the rows that want them, then each device's candidates
void Executor::score_outputs(const Step& step) {
    const std::size_t n = step.outputs.size();
    const std::size_t vocab = slice_.vocab.size();
    requests_.resize(n);
    scores_.resize(n);
    if (n != 0) {
        const WeightsView& w = weights_.model();
        const Matrix& head = w[model::lm_head(hp_)];
        const Activations& h = x_.norm(w.floats(model::Tensor::output_norm), {&head});
        linear_.run(h, {{&head, logits_.data()}});
    }
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
