#include "daemon/exec/executor.hpp"

#include <algorithm>

#include "daemon/exec/ffn_block.hpp"
#include "daemon/exec/logprobs.hpp"
#include "daemon/exec/masking.hpp"
#include "daemon/exec/moe_block.hpp"
#include "daemon/exec/overlap.hpp"

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
      attention_(hp_, slice_, kernels, pool, linear_, cache_, options.kv_positions,
                 options.max_rows),
      whole_(whole),
      flow_(make_flow(options.flow_rows(), options.max_rows, rank)),
      logits_(std::size_t{options.max_outputs} * slice.vocab.size()) {
    kept_.reserve(options.max_rows);
    if (options.overlap) second_.emplace(make_flow(options.flow_rows(), 0, rank));
}

/// `rows_after`: room for so many after the layers.
Executor::Flow Executor::make_flow(std::uint32_t rows, std::uint32_t rows_after,
                                   std::uint32_t rank) const {
    const bool whole_floats = whole_ != nullptr && whole_->reads_floats();
    const bool shares_rows = options_.sequence_rows != 0;
    return {.heads = Workspace(hp_, slice_, kernels_, rows, weights_.reads_floats()),
            .x = Residual(hp_, kernels_, pool_, options_.collectives, options_.scatter_rows,
                          std::max(rows, rows_after), weights_.reads_floats() || whole_floats),
            .own = shares_rows ? std::optional<SequenceParallel>(
                                     std::in_place, hp_, kernels_, pool_, options_.row_shares, rank,
                                     options_.kv_type, options_.collectives, rows, whole_floats)
                               : std::nullopt};
}

std::uint64_t Executor::buffer_bytes(const model::Hparams& hp, const shard::Slice& slice,
                                     const ExecutorOptions& options, std::uint32_t threads,
                                     std::uint32_t rank) {
    const std::uint32_t rows = options.flow_rows();
    std::uint64_t flow = Workspace::bytes(hp, slice, rows);
    if (options.sequence_rows != 0) {
        flow += SequenceParallel::bytes(hp, options.row_shares, rank, rows);
    }
    const auto residual = [&](std::uint32_t most) {
        return Residual::bytes(hp, most, threads, options.scatter_rows != 0);
    };
    // Each half also keeps what it received.
    const std::uint64_t second = options.overlap ? flow + 3 * residual(rows) : 0;
    return flow + second + residual(options.max_rows) + Linear::buffer_bytes(threads) +
           std::uint64_t{options.max_outputs} * slice.vocab.size() * sizeof(float) +
           Attention::buffer_bytes(slice, hp.group(), hp.head_dim, options.kv_positions, threads);
}

Status Executor::run(const Step& step, Collective& collective) {
    if (const Status s = prepare(step); s != Status::ok) return s;
    if (const Status s = run_layers(step, collective); s != Status::ok) return s;
    read_hidden(step, collective.rank() == 0);
    score_outputs(step);
    return Status::ok;
}

Status Executor::run_layers(const Step& step, Collective& collective) {
    if (step.sequence_parallel || in_halves()) collective.uneven();
    if (!in_halves()) return layers(step, flow_, collective);
    Overlap halves(collective);
    const Status status = halves.run([&](std::size_t half, LayerCollective& turns) {
        return layers(step, half == 0 ? flow_ : *second_, turns);
    });
    if (status == Status::ok) flow_.x.append(second_->x);
    return status;
}

Status Executor::layers(const Step& step, Flow& flow, LayerCollective& collective) {
    return step.sequence_parallel ? share_rows(step, flow, collective)
                                  : share_heads(step, flow, collective);
}

// Every device takes all rows through its heads, its FFN columns.
Status Executor::share_heads(const Step& step, Flow& flow, LayerCollective& collective) {
    Residual& x = flow.x;
    Workspace& ws = flow.heads;
    // The form of both halves' sums is one: they are to have as many collectives in a layer.
    x.begin(ws.rows.size(), step.embedding_type, embeddings(step, flow.first),
            in_halves() ? step.rows.size() / 2 : SIZE_MAX);
    attention_.begin(ws);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        const WeightsView& w = weights_.layer(l);
        attention_.project(w, x, ws);
        attention_.keep(l, ws);
        if (l + 1 == hp_.n_layers) keep_rows(flow, 0);
        if (x.rows() == 0) break;
        attention_.attend(l, w, ws);
        Status s = attention_.project_back(w, x, ws, collective);
        if (s == Status::ok) s = feed_forward(w, x, ws, collective);
        if (s != Status::ok) return s;
    }
    return Status::ok;
}

// Every device takes its rows through whole layers, and all rows through its heads.
Status Executor::share_rows(const Step& step, Flow& flow, LayerCollective& collective) {
    Residual& x = flow.x;
    Workspace& heads = flow.heads;
    SequenceParallel& rows = *flow.own;
    rows.begin(heads);
    Workspace& local = rows.local();
    SoloCollective alone;
    x.begin(rows.count(), step.embedding_type, embeddings(step, flow.first + rows.first()));
    attention_.begin(local);
    for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
        if (rows.count() != 0) attention_.project(whole_->layer(l), x, local);
        if (const Status s = rows.to_heads(collective, heads); s != Status::ok) return s;
        attention_.keep(l, heads);
        if (l + 1 == hp_.n_layers) {
            keep_rows(flow, rows.first());
            rows.keep(flow.kept);
        }
        if (heads.rows.empty()) return Status::ok;
        attention_.attend(l, heads);
        if (const Status s = rows.to_rows(collective, heads); s != Status::ok) return s;
        if (rows.count() == 0) continue;
        const WeightsView& w = whole_->layer(l);  // The other half may have asked for another.
        Status s = attention_.project_back(w, x, local, alone);
        if (s == Status::ok) s = feed_forward(w, x, local, alone);
        if (s != Status::ok) return s;
    }
    return x.gather(collective, flow.kept.size());
}

const std::byte* Executor::embeddings(const Step& step, std::size_t row) const noexcept {
    return step.embeddings.data() + row * kernels::row_bytes(step.embedding_type, hp_.dim);
}

Status Executor::prepare(const Step& step) {
    if (step.rows.size() > options_.max_rows || step.outputs.size() > options_.max_outputs) {
        return Status::malformed;
    }
    if (step.sequence_parallel && !flow_.own) return Status::malformed;
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
    const std::size_t rows = step.rows.size();
    const std::size_t half = rows > options_.flow_rows() ? (rows + 1) / 2 : rows;
    take_rows(step, flow_, 0, half);
    if (second_) take_rows(step, *second_, half, rows);
    return Status::ok;
}

// The step's rows [begin, end). Views are taken only now: reserving may move a sequence's list of
// blocks.
void Executor::take_rows(const Step& step, Flow& flow, std::size_t begin, std::size_t end) {
    flow.first = begin;
    flow.heads.rows.clear();
    for (std::size_t r = begin; r < end; ++r) {
        flow.heads.rows.push_back({step.rows[r].position, cache_.blocks(step.rows[r].sequence)});
    }
    flow.kept.clear();
    for (const std::uint32_t row : kept_) {
        if (row >= begin && row < end) flow.kept.push_back(row - static_cast<std::uint32_t>(begin));
    }
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

Status Executor::feed_forward(const WeightsView& w, Residual& x, Workspace& ws,
                              LayerCollective& collective) {
    if (hp_.n_experts == 0) return ffn_block(w, x, linear_, ws, collective);
    return moe_block(hp_, w, x, linear_, pool_, ws, collective);
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
void Executor::keep_rows(Flow& flow, std::size_t first) noexcept {
    const std::size_t n = flow.kept.size();
    if (n == flow.heads.rows.size()) return;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
        // They ascend, so a row moves down or stays.
        const std::size_t row = flow.kept[i];
        flow.heads.copy_row(row, i);
        if (row >= first && row - first < flow.x.rows()) flow.x.copy_row(row - first, kept++);
    }
    flow.x.shrink(kept);
    flow.heads.rows.resize(n);
}

// The root takes the hidden states that are wanted; of x the rows with an output stay.
void Executor::read_hidden(const Step& step, bool root) {
    hidden_.clear();
    if (step.hidden.empty()) return;
    Residual& x = flow_.x;
    x.settle();
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
                kernels_.rms_norm(x.row(first + i), weights, &hidden_[before + i * hp_.dim],
                                  hp_.dim, hp_.norm_eps);
            }
        }
    }
    at = 0;
    for (std::size_t i = 0; i < step.outputs.size(); ++i) x.copy_row(find(step.outputs[i].row), i);
    x.shrink(step.outputs.size());
}

// logits = output @ norm(x) for the rows that want them, then each device's candidates
void Executor::score_outputs(const Step& step) {
    const std::size_t n = step.outputs.size();
    requests_.resize(n);
    scores_.resize(n);
    if (n != 0) {
        const WeightsView& w = weights_.model();
        const Matrix& head = w[model::lm_head(hp_)];
        const Activations& h = flow_.x.norm(w.floats(model::Tensor::output_norm), {&head});
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
