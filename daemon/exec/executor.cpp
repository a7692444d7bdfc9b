#include "daemon/exec/executor.hpp"

#include <algorithm>

#include "daemon/exec/ffn_block.hpp"
#include "daemon/exec/logprobs.hpp"
#include "daemon/exec/masking.hpp"
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
                   const ExecutorOptions& options, std::uint32_t rank, WholeWeights* whole)
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
         weights.reads_floats() || (whole != nullptr && whole->reads_floats())),
      attention_(hp_, slice_, kernels, pool, linear_, cache_, options.kv_positions,
                 options.max_rows),
      whole_(whole),
      logits_(std::size_t{options.max_outputs} * slice.vocab.size()) {
    kept_.reserve(options.max_rows);
    if (options_.sequence_rows == 0) return;
    sequence_.emplace(hp_, kernels, pool, options_.row_shares, rank, options.kv_type,
                      options.collectives, options.max_rows,
                      whole != nullptr && whole->reads_floats());
}

std::uint64_t Executor::buffer_bytes(const model::Hparams& hp, const shard::Slice& slice,
                                     const ExecutorOptions& options, std::uint32_t threads,
                                     std::uint32_t rank) {
    const std::uint64_t sequence =
        options.sequence_rows == 0
            ? 0
            : SequenceParallel::bytes(hp, options.row_shares, rank, options.max_rows);
    return sequence + Workspace::bytes(hp, slice, options.max_rows) +
           Residual::bytes(hp, options.max_rows, threads, options.scatter_rows != 0) +
           Linear::buffer_bytes(threads) +
           std::uint64_t{options.max_outputs} * slice.vocab.size() * sizeof(float) +
           Attention::buffer_bytes(slice, hp.group(), hp.head_dim, options.kv_positions, threads);
}

Status Executor::run(const Step& step, Collective& collective) {
    if (const Status s = prepare(step); s != Status::ok) return s;
    const Status status =
        step.sequence_parallel ? share_rows(step, collective) : share_heads(step, collective);
    if (status != Status::ok) return status;
    read_hidden(step, collective.rank() == 0);
    score_outputs(step);
    return Status::ok;
}

// Every device takes all rows through its heads, its FFN columns.
Status Executor::share_heads(const Step& step, Collective& collective) {
    x_.begin(step.rows.size(), step.embedding_type, step.embeddings.data());
    attention_.begin(workspace_);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        const WeightsView& w = weights_.layer(l);
        attention_.project(w, x_, workspace_);
        attention_.keep(l, workspace_);
        if (l + 1 == hp_.n_layers) keep_rows(0);
        if (x_.rows() == 0) break;
        attention_.attend(l, w, workspace_);
        Status s = attention_.project_back(w, x_, workspace_, collective);
        if (s == Status::ok) s = feed_forward(w, workspace_, collective);
        if (s != Status::ok) return s;
    }
    return Status::ok;
}

// Every device takes its rows through whole layers, and all rows through its heads.
Status Executor::share_rows(const Step& step, Collective& collective) {
    SequenceParallel& rows = *sequence_;
    rows.begin(workspace_);
    collective.uneven();
    Workspace& local = rows.local();
    SoloCollective alone;
    x_.begin(
        rows.count(), step.embedding_type,
        step.embeddings.data() + rows.first() * kernels::row_bytes(step.embedding_type, hp_.dim));
    attention_.begin(local);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        const WeightsView* const w = rows.count() == 0 ? nullptr : &whole_->layer(l);
        if (w != nullptr) attention_.project(*w, x_, local);
        if (const Status s = rows.to_heads(collective, workspace_); s != Status::ok) return s;
        attention_.keep(l, workspace_);
        if (l + 1 == hp_.n_layers) {
            keep_rows(rows.first());
            rows.keep(kept_);
        }
        if (workspace_.rows.empty()) return Status::ok;
        attention_.attend(l, workspace_);
        if (const Status s = rows.to_rows(collective, workspace_); s != Status::ok) return s;
        if (rows.count() == 0) continue;
        Status s = attention_.project_back(*w, x_, local, alone);
        if (s == Status::ok) s = feed_forward(*w, local, alone);
        if (s != Status::ok) return s;
    }
    return x_.gather(collective, kept_.size());
}

Status Executor::prepare(const Step& step) {
    if (step.rows.size() > options_.max_rows || step.outputs.size() > options_.max_outputs) {
        return Status::malformed;
    }
    if (step.sequence_parallel && !sequence_) return Status::malformed;
    if (const Status s = take_outputs(step); s != Status::ok) return s;
    if (const Status s = check_hidden(step); s != Status::ok) return s;
    choose_rows(step);
    if (const Status s = change_sequences(step); s != Status::ok) return s;
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

Status Executor::change_sequences(const Step& step) {
    for (const Fork& fork : step.forks) {
        if (!cache_.fork(fork.from, fork.to, fork.positions)) return Status::malformed;
    }
    for (const SequenceId id : step.releases) cache_.release(id);
    return Status::ok;
}

// Blocks are made for what is to be read before it is known whether it is there: so all devices'
// caches stay alike.
Status Executor::run(const Step& changes, const BlockOrder& order, KvDisk* disk,
                     std::uint32_t& done) {
    if (const Status s = change_sequences(changes); s != Status::ok) return s;
    const std::size_t has = cache_.blocks(order.sequence).size();
    const std::uint64_t end = order.first + std::uint64_t{order.names.size()};
    if (end > cache_.capacity_blocks()) return Status::malformed;
    if (order.read ? has != order.first : has < end) return Status::malformed;
    constexpr std::uint32_t kPositions = KvCache::kBlockPositions;
    const auto last = static_cast<std::uint32_t>(end);
    if (order.read &&
        !cache_.reserve(order.sequence, order.first * kPositions, last * kPositions)) {
        return Status::no_memory;
    }
    std::vector<std::span<std::byte>> blocks;
    for (const std::uint32_t id : cache_.blocks(order.sequence).subspan(order.first)) {
        if (blocks.size() < order.names.size()) blocks.push_back(cache_.block(id));
    }
    done = 0;
    if (disk == nullptr) return Status::ok;
    done = order.read ? disk->read(order.first, order.names, blocks)
                      : disk->write(order.first, order.names, blocks);
    return Status::ok;
}

Status Executor::take_outputs(const Step& step) {
    masks_.resize(step.outputs.size());
    std::size_t after = 0;  // the last output's row
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
        const Output& output = step.outputs[i];
        if (output.row < after || output.row >= step.rows.size()) return Status::malformed;
        after = std::size_t{output.row} + 1;
        masks_[i].reset();
        if (output.score.mask.empty()) continue;
        const auto mask = grammar::TokenMask::decode(output.score.mask, hp_.n_vocab);
        if (!mask) return Status::malformed;
        masks_[i] = mask->slice(slice_.vocab.begin, slice_.vocab.end);
    }
    return Status::ok;
}

Status Executor::check_hidden(const Step& step) noexcept {
    std::uint64_t after = 0;  // where the last range ends
    for (const RowRange& range : step.hidden) {
        if (range.first < after || range.count == 0) return Status::malformed;
        after = std::uint64_t{range.first} + range.count;
        if (after > step.rows.size()) return Status::malformed;
    }
    return Status::ok;
}

Status Executor::feed_forward(const WeightsView& w, Workspace& ws, Collective& collective) {
    if (hp_.n_experts == 0) return ffn_block(w, x_, linear_, ws, collective);
    return moe_block(hp_, w, x_, linear_, pool_, ws, collective);
}

// The rows with an output and those whose hidden states are wanted, ascending.
void Executor::choose_rows(const Step& step) noexcept {
    kept_.clear();
    std::size_t output = 0;
    const auto outputs_before = [&](std::uint32_t row) {
        for (; output < step.outputs.size() && step.outputs[output].row < row; ++output) {
            kept_.push_back(step.outputs[output].row);
        }
    };
    for (const RowRange& range : step.hidden) {
        outputs_before(range.first);
        for (std::uint32_t i = 0; i < range.count; ++i) kept_.push_back(range.first + i);
        while (output < step.outputs.size() && step.outputs[output].row <= kept_.back()) ++output;
    }
    outputs_before(UINT32_MAX);
}

// After the last layer's K and V nobody reads the other rows. x has the rows from `first` on.
void Executor::keep_rows(std::size_t first) noexcept {
    const std::size_t n = kept_.size();
    if (n == workspace_.rows.size()) return;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
        // They ascend, so a row moves down or stays.
        const std::size_t row = kept_[i];
        workspace_.copy_row(row, i);
        if (row >= first && row - first < x_.rows()) x_.copy_row(row - first, kept++);
    }
    x_.shrink(kept);
    workspace_.rows.resize(n);
}

// The root takes the hidden states that are wanted; of x the rows with an output stay.
void Executor::read_hidden(const Step& step, bool root) {
    hidden_.clear();
    if (step.hidden.empty()) return;
    x_.settle();
    std::size_t at = 0;  // in x, of the next row
    const auto find = [&](std::uint32_t row) {
        while (kept_[at] != row) ++at;
        return at;
    };
    if (root) {
        const float* weights = weights_.model().floats(model::Tensor::output_norm);
        for (const RowRange& range : step.hidden) {
            const std::size_t first = find(range.first), before = hidden_.size();
            hidden_.resize(before + std::size_t{range.count} * hp_.dim);
            for (std::size_t i = 0; i < range.count; ++i) {
                kernels_.rms_norm(x_.row(first + i), weights, &hidden_[before + i * hp_.dim],
                                  hp_.dim, hp_.norm_eps);
            }
        }
    }
    at = 0;
    for (std::size_t i = 0; i < step.outputs.size(); ++i) x_.copy_row(find(step.outputs[i].row), i);
    x_.shrink(step.outputs.size());
}

// logits = output @ norm(x) for the rows that want them, then each device's candidates
void Executor::score_outputs(const Step& step) {
    const std::size_t n = step.outputs.size();
    requests_.resize(n);
    scores_.resize(n);
    if (n != 0) {
        const WeightsView& w = weights_.model();
        const Matrix& head = w[model::lm_head(hp_)];
        const Activations& h = x_.norm(w.floats(model::Tensor::output_norm), {&head});
        linear_.run(h, {{&head, logits_.data()}});
    }
    const auto first = static_cast<std::int32_t>(slice_.vocab.begin);
    raw_rows_ = 0;
    raw_row_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        requests_[i] = step.outputs[i].score;
        if (requests_[i].target < 0) {
            if (requests_[i].logprobs != 0) keep_raw(i);
            adjust_logits(kernels_, logits_of(i), first, requests_[i]);
            if (masks_[i]) mask_logits(logits_of(i), *masks_[i]);
        }
        score(i);
    }
}

// A copy for scores of what the model says, before logits become what is drawn from. It takes
// memory only once somebody asks.
void Executor::keep_raw(std::size_t output) {
    const std::size_t vocab = slice_.vocab.size();
    raw_row_[output] = raw_rows_++;
    if (raw_.size() < raw_rows_ * vocab) raw_.resize(raw_rows_ * vocab);
    const std::span<const float> logits = logits_of(output);
    std::copy(logits.begin(), logits.end(), raw_.data() + raw_row_[output] * vocab);
}

void Executor::score(std::size_t output) {
    const ScoreRequest& request = requests_[output];
    Scores& scores = scores_[output];
    const auto first = static_cast<std::int32_t>(slice_.vocab.begin);
    const bool chooses = request.target < 0;
    // Where no token may be chosen the answer is that of a device without rows.
    const bool any = chooses && (!masks_[output] || masks_[output]->count() != 0);
    score_logits(kernels_, any ? logits_of(output) : std::span<float>(), first, request,
                 score_buffers_, scores);
    if (masks_[output]) drop_refused(scores);
    if (request.logprobs == 0) return;
    const std::size_t vocab = slice_.vocab.size();
    const std::span<float> raw =
        chooses ? std::span(raw_.data() + raw_row_[output] * vocab, vocab) : logits_of(output);
    report_logits(kernels_, raw, first, request, score_buffers_, scores);
}

const Scores& Executor::rescore(std::uint32_t output, std::uint32_t candidates) {
    requests_[output].candidates = candidates;
    score(output);
    return scores_[output];
}

std::span<const float> Executor::logits(std::uint32_t output) const noexcept {
    return {logits_.data() + output * slice_.vocab.size(), slice_.vocab.size()};
}

}  // namespace shoal::exec
