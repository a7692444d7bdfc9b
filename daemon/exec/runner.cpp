#include "daemon/exec/runner.hpp"

#include <algorithm>
#include <cassert>

#include "daemon/grammar/token_mask.hpp"

namespace shoal::exec {
namespace {

// Tokens not computed yet whose next one is given and wants scores.
std::uint32_t targets_of(const Sequence& sequence) noexcept {
    const std::uint32_t first = sequence.computed + 1;
    if (first < sequence.scored_from) return 0;
    return sequence.scored_until > first ? sequence.scored_until - first : 0;
}

// Tokens not computed yet whose next one's scores are known, before others whose are wanted.
std::uint32_t known_of(const Sequence& sequence) noexcept {
    const std::uint32_t first = sequence.computed + 1;
    if (sequence.scored_from >= sequence.scored_until || first >= sequence.scored_from) return 0;
    return sequence.scored_from - first;
}

bool in_prompt(const Sequence& sequence) noexcept {
    return sequence.computed + 1 < sequence.tokens.size();
}

}  // namespace

Root::Root(Executor& executor, Collective& collective, const model::WeightSource& source)
    : executor_(executor), collective_(&collective), source_(source) {
    const model::TensorInfo& table = source.header().tensor(model::tensor_name::kEmbedding);
    embedding_row_ = {table.name, 0, 1, 0, table.cols};
    embedding_bytes_ = kernels::row_bytes(table.type, table.cols);
    n_vocab_ = static_cast<std::uint32_t>(table.rows);
    step_.embedding_type = table.type;
}

void Root::settle_kind(Sequence& sequence) const {
    if (sequence.shared_until) return;
    const std::uint32_t from = executor_.options().sequence_rows;
    const auto tokens =
        sequence.prompt != 0 ? sequence.prompt : static_cast<std::uint32_t>(sequence.tokens.size());
    // Steps with a few rows only, an output each, are not worth it.
    const bool scored = targets_of(sequence) != 0;
    sequence.shared_until = from != 0 && tokens >= from && !scored ? tokens : 0;
}

// Where both kinds of steps are wanted, they take turns.
void Root::choose_kind(std::span<Sequence* const> sequences, const PromptRows& most) {
    bool shared = false, others = false;
    for (Sequence* const s : sequences) {
        settle_kind(*s);
        (shares_rows(*s) ? shared : others) = true;
    }
    shared = shared && most.shared != 0;
    step_.sequence_parallel = shared && !(others && step_.sequence_parallel);
}

// Whoever has no given tokens to score may need an output in this step, and finds it.
void Root::share_outputs(std::span<Sequence* const> sequences) {
    const auto others = static_cast<std::size_t>(
        std::count_if(sequences.begin(), sequences.end(),
                      [](const Sequence* s) { return s->answers && targets_of(*s) == 0; }));
    const std::size_t outputs = executor_.options().max_outputs;
    outputs_for_targets_ = outputs > others ? outputs - others : 1;
}

// How many of its tokens this step computes.
std::uint32_t Root::rows_of(const Sequence& sequence) const {
    std::size_t room = executor_.options().max_rows - step_.rows.size();
    if (in_prompt(sequence)) room = std::min<std::size_t>(room, prompt_rows_);
    const std::size_t outputs = executor_.options().max_outputs - step_.outputs.size();
    std::size_t wanted = sequence.tokens.size() - sequence.computed;
    if (shares_rows(sequence)) {
        // What follows was decoded, before all of it was to be computed again.
        wanted = std::min<std::size_t>(wanted, *sequence.shared_until - sequence.computed);
    }
    if (const std::uint32_t targets = targets_of(sequence); targets != 0) {
        wanted = std::min<std::size_t>({targets, outputs, outputs_for_targets_});
    } else if (const std::uint32_t known = known_of(sequence); known != 0) {
        wanted = known;
    } else if (sequence.answers && outputs == 0 && wanted != 0) {
        // A last token computed without an output could not choose the next one any more.
        --wanted;
    }
    return static_cast<std::uint32_t>(std::min(wanted, room));
}

void Root::add_rows(Sequence& sequence, std::size_t index) {
    const std::uint32_t count = rows_of(sequence);
    taken_.push_back(count);
    if (count == 0) return;
    if (in_prompt(sequence)) prompt_rows_ -= count;
    const auto first = static_cast<std::uint32_t>(step_.rows.size());
    for (std::uint32_t i = 0; i < count; ++i) add_row(sequence, sequence.computed + i);
    if (sequence.pool) {
        const RowRange wanted = sequence.pool->wanted(sequence.computed, count);
        if (wanted.count != 0) {
            step_.hidden.push_back({first + wanted.first - sequence.computed, wanted.count});
            hidden_sequence_.push_back(index);
        }
    }
    if (targets_of(sequence) != 0) {
        add_targets(sequence, index, count);
    } else if (sequence.answers && sequence.computed + count == sequence.tokens.size()) {
        add_output(sequence, index);
    }
}

void Root::add_row(const Sequence& sequence, std::uint32_t position) {
    step_.rows.push_back({sequence.id, position});
    embedding_row_.row_begin = static_cast<std::uint64_t>(sequence.tokens[position]);
    embedding_row_.row_end = embedding_row_.row_begin + 1;
    const std::size_t at = step_.embeddings.size();
    step_.embeddings.resize(at + embedding_bytes_);
    source_.read(embedding_row_, 0, {step_.embeddings.data() + at, embedding_bytes_});
}

// The last `count` rows are followed by tokens that are given.
void Root::add_targets(const Sequence& sequence, std::size_t index, std::uint32_t count) {
    const std::size_t first = step_.rows.size() - count;
    for (std::uint32_t i = 0; i < count; ++i) {
        ScoreRequest score;
        score.candidates = 0;
        score.logprobs = sequence.logprobs;
        score.target = sequence.tokens[sequence.computed + i + 1];
        step_.outputs.push_back({static_cast<std::uint32_t>(first + i), std::move(score)});
        output_sequence_.push_back(index);
    }
    outputs_for_targets_ -= count;
}

// How many tokens there are to choose from.
std::uint32_t Root::choices_of(const Sequence& sequence) const {
    return sequence.allowed ? static_cast<std::uint32_t>(sequence.allowed->count()) : n_vocab_;
}

// After the last row a token is chosen.
void Root::add_output(const Sequence& sequence, std::size_t index) {
    const Sampling& s = sequence.sampling;
    ScoreRequest score;
    score.temperature = s.temperature;
    score.repeat_penalty = s.repeat_penalty;
    score.presence_penalty = s.presence_penalty;
    score.frequency_penalty = s.frequency_penalty;
    score.seed = s.seed;
    score.position = sequence.tokens.size();
    score.candidates = wanted_candidates(s, choices_of(sequence));
    score.draw = draws_from_all(s);
    if (s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0) {
        score.seen = count_seen(sequence.tokens, s.penalty_last_n);
    }
    score.logit_bias = s.logit_bias;
    score.logprobs = sequence.logprobs;
    if (sequence.allowed) score.mask = sequence.allowed->encode();
    step_.outputs.push_back({static_cast<std::uint32_t>(step_.rows.size() - 1), std::move(score)});
    output_sequence_.push_back(index);
}

Status Root::step(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen,
                  const PromptRows& most) {
    chosen.clear();
    step_.rows.clear();
    step_.outputs.clear();
    step_.embeddings.clear();
    step_.hidden.clear();
    output_sequence_.clear();
    hidden_sequence_.clear();
    taken_.clear();
    choose_kind(sequences, most);
    prompt_rows_ = step_.sequence_parallel ? most.shared : most.together;
    share_outputs(sequences);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
        if (step_.rows.size() == executor_.options().max_rows) break;
        if (shares_rows(*sequences[i]) == step_.sequence_parallel) {
            add_rows(*sequences[i], i);
        } else {
            taken_.push_back(0);
        }
    }
    encode_step(step_, message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_->broadcast(message_, ignored); s != Status::ok) return s;
    if (const Status s = executor_.run(step_, *collective_); s != Status::ok) return s;
    if (!step_.outputs.empty()) {
        if (const Status s = choose_tokens(sequences, chosen); s != Status::ok) return s;
    }
    pool_hidden(sequences);
    for (std::size_t i = 0; i < taken_.size(); ++i) sequences[i]->computed += taken_[i];
    step_.releases.clear();
    step_.forks.clear();
    return Status::ok;
}

void Root::pool_hidden(std::span<Sequence* const> sequences) {
    std::span<const float> states = executor_.hidden();
    const std::size_t dim = executor_.hparams().dim;
    for (std::size_t i = 0; i < step_.hidden.size(); ++i) {
        const std::size_t floats = step_.hidden[i].count * dim;
        sequences[hidden_sequence_[i]]->pool->add(states.first(floats), dim);
        states = states.subspan(floats);
    }
}

Status Root::gather(std::span<const Scores> mine, std::vector<std::vector<Scores>>& parts) {
    encode_scores(mine, scores_message_);
    if (const Status s = collective_->gather(scores_message_, received_); s != Status::ok) return s;
    parts.clear();
    for (const auto bytes : received_) {
        auto decoded = decode_scores(bytes);
        if (!decoded || decoded->size() != mine.size()) return Status::malformed;
        parts.push_back(std::move(*decoded));
    }
    return Status::ok;
}

Status Root::choose_tokens(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen) {
    std::vector<std::vector<Scores>> parts;
    if (const Status s = gather(executor_.scores(), parts); s != Status::ok) return s;
    for (std::size_t i = 0; i < step_.outputs.size(); ++i) {
        const ScoreRequest& request = step_.outputs[i].score;
        Sequence& sequence = *sequences[output_sequence_[i]];
        std::vector<Scores> of_output;
        for (auto& part : parts) of_output.push_back(std::move(part[i]));
        if (request.target >= 0) {
            auto scores = logprobs_of(merge_raw(of_output, request.logprobs - 1), request.target);
            if (scores.empty()) return Status::malformed;
            sequence.prompt_scores.push_back(std::move(scores));
            continue;
        }
        Chosen next{output_sequence_[i], -1};
        if (const Status s = choose_token(i, sequence, of_output, next); s != Status::ok) return s;
        chosen.push_back(std::move(next));
    }
    return Status::ok;
}

Status Root::choose_token(std::size_t output, const Sequence& sequence, std::vector<Scores>& parts,
                          Chosen& chosen) {
    const ScoreRequest& request = step_.outputs[output].score;
    const std::uint32_t choices = choices_of(sequence);
    const auto choose_from = [&](std::uint32_t candidates) {
        const Scores merged = merge_scores(parts, candidates);
        chosen.token = choose(merged, sequence.sampling, request.position, choices);
    };
    choose_from(request.candidates);
    if (chosen.token < 0) {
        // The nucleus is larger than what was sent: ask once more, for everything.
        if (const Status s = more_candidates(output, choices, parts); s != Status::ok) return s;
        choose_from(choices);
    }
    if (chosen.token < 0 || static_cast<std::uint32_t>(chosen.token) >= n_vocab_) {
        return Status::malformed;
    }
    if (request.logprobs == 0) return Status::ok;
    chosen.scores = logprobs_of(merge_raw(parts, request.logprobs - 1), chosen.token);
    return chosen.scores.empty() ? Status::malformed : Status::ok;
}

Status Root::more_candidates(std::size_t output, std::uint32_t candidates,
                             std::vector<Scores>& parts) {
    encode_more(static_cast<std::uint32_t>(output), candidates, message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_->broadcast(message_, ignored); s != Status::ok) return s;
    const Scores& mine = executor_.rescore(static_cast<std::uint32_t>(output), candidates);
    std::vector<std::vector<Scores>> answers;
    if (const Status s = gather({&mine, 1}, answers); s != Status::ok) return s;
    parts.clear();
    for (auto& answer : answers) parts.push_back(std::move(answer[0]));
    return Status::ok;
}

Status Root::run(const BlockOrder& order, KvDisk& disk, std::uint32_t& done) {
    encode_blocks(step_, order, message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_->broadcast(message_, ignored); s != Status::ok) return s;
    collective_->uneven();
    if (const Status s = executor_.run(step_, order, &disk, done); s != Status::ok) return s;
    step_.releases.clear();
    step_.forks.clear();
    encode_block_count(done, message_);
    if (const Status s = collective_->gather(message_, received_); s != Status::ok) return s;
    for (const auto bytes : received_) {
        const auto theirs = decode_block_count(bytes, order.names.size());
        if (!theirs) return Status::malformed;
        done = std::min(done, *theirs);
    }
    return Status::ok;
}

Status Root::stop() {
    encode_stop(message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_->broadcast(message_, ignored); s != Status::ok) return s;
    return collective_->all_gather({}, received_);
}

Status follow(Executor& executor, Collective& collective, KvDisk* disk) {
    std::vector<std::byte> message;
    std::vector<std::span<const std::byte>> ignored;
    std::span<const std::byte> received;
    std::uint32_t outputs = 0;
    for (;;) {
        if (const Status s = collective.broadcast({}, received); s != Status::ok) return s;
        const auto order = decode_order(received, executor.hparams().dim);
        if (!order) return Status::malformed;
        switch (order->command) {
            case Command::stop:  // Who leaves before all have come so far would stop the others.
                return collective.all_gather({}, ignored);
            case Command::sequence_step:
            case Command::step: {
                if (const Status s = executor.run(order->step, collective); s != Status::ok) {
                    return s;
                }
                outputs = static_cast<std::uint32_t>(order->step.outputs.size());
                if (outputs == 0) continue;
                encode_scores(executor.scores(), message);
                break;
            }
            case Command::more_candidates:
                if (order->output >= outputs) return Status::malformed;
                encode_scores({&executor.rescore(order->output, order->candidates), 1}, message);
                break;
            case Command::read_blocks:
            case Command::write_blocks: {
                collective.uneven();
                std::uint32_t done = 0;
                const Status s = executor.run(order->step, order->blocks, disk, done);
                if (s != Status::ok) return s;
                outputs = 0;
                encode_block_count(done, message);
                break;
            }
        }
        if (const Status s = collective.gather(message, ignored); s != Status::ok) return s;
    }
}

}  // namespace shoal::exec
