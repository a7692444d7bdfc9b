#include "daemon/exec/runner.hpp"

#include <algorithm>
#include <cassert>

namespace shoal::exec {

Root::Root(Executor& executor, Collective& collective, const model::WeightSource& source)
    : executor_(executor), collective_(collective), source_(source) {
    const model::TensorInfo& table = source.header().tensor(model::tensor_name::kEmbedding);
    embedding_row_ = {table.name, 0, 1, 0, table.cols};
    embedding_bytes_ = kernels::row_bytes(table.type, table.cols);
    n_vocab_ = static_cast<std::uint32_t>(table.rows);
    step_.embedding_type = table.type;
}

void Root::add_rows(Sequence& sequence, std::size_t index) {
    const std::size_t room = executor_.options().max_rows - step_.rows.size();
    std::size_t wanted = sequence.tokens.size() - sequence.computed;
    // A last token computed without an output could not choose the next one any more.
    const bool all_outputs_taken = step_.outputs.size() == executor_.options().max_outputs;
    if (all_outputs_taken && wanted != 0) --wanted;
    const auto count = static_cast<std::uint32_t>(std::min(wanted, room));
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t position = sequence.computed + i;
        step_.rows.push_back({sequence.id, position});
        embedding_row_.row_begin = static_cast<std::uint64_t>(sequence.tokens[position]);
        embedding_row_.row_end = embedding_row_.row_begin + 1;
        const std::size_t at = step_.embeddings.size();
        step_.embeddings.resize(at + embedding_bytes_);
        source_.read(embedding_row_, 0, {step_.embeddings.data() + at, embedding_bytes_});
    }
    taken_.push_back(count);
    if (count == 0 || sequence.computed + count != sequence.tokens.size()) return;

    const Sampling& s = sequence.sampling;
    ScoreRequest score;
    score.temperature = s.temperature;
    score.repeat_penalty = s.repeat_penalty;
    score.presence_penalty = s.presence_penalty;
    score.frequency_penalty = s.frequency_penalty;
    score.seed = s.seed;
    score.position = sequence.tokens.size();
    score.candidates = wanted_candidates(s, n_vocab_);
    score.draw = draws_from_all(s);
    if (s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0) {
        score.seen = count_seen(sequence.tokens, s.penalty_last_n);
    }
    score.logit_bias = s.logit_bias;
    step_.outputs.push_back({static_cast<std::uint32_t>(step_.rows.size() - 1), std::move(score)});
    output_sequence_.push_back(index);
}

Status Root::step(std::span<Sequence* const> sequences, std::vector<Chosen>& chosen) {
    chosen.clear();
    step_.rows.clear();
    step_.outputs.clear();
    step_.embeddings.clear();
    output_sequence_.clear();
    taken_.clear();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
        if (step_.rows.size() == executor_.options().max_rows) break;
        add_rows(*sequences[i], i);
    }
    encode_step(step_, message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_.broadcast(message_, ignored); s != Status::ok) return s;
    if (const Status s = executor_.run(step_, collective_); s != Status::ok) return s;
    if (!step_.outputs.empty()) {
        if (const Status s = choose_tokens(sequences, chosen); s != Status::ok) return s;
    }
    for (std::size_t i = 0; i < taken_.size(); ++i) sequences[i]->computed += taken_[i];
    step_.releases.clear();
    step_.forks.clear();
    return Status::ok;
}

Status Root::gather(std::span<const Scores> mine, std::vector<std::vector<Scores>>& parts) {
    encode_scores(mine, scores_message_);
    if (const Status s = collective_.gather(scores_message_, received_); s != Status::ok) return s;
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
        const Sequence& sequence = *sequences[output_sequence_[i]];
        std::vector<Scores> of_output;
        for (auto& part : parts) of_output.push_back(std::move(part[i]));
        Scores merged = merge_scores(of_output, request.candidates);
        std::int32_t token = choose(merged, sequence.sampling, request.position, n_vocab_);
        if (token < 0) {
            // The nucleus is larger than what was sent: ask once more, for everything.
            if (const Status s = more_candidates(i, n_vocab_, merged); s != Status::ok) return s;
            token = choose(merged, sequence.sampling, request.position, n_vocab_);
        }
        if (token < 0 || static_cast<std::uint32_t>(token) >= n_vocab_) return Status::malformed;
        chosen.push_back({output_sequence_[i], token});
    }
    return Status::ok;
}

Status Root::more_candidates(std::size_t output, std::uint32_t candidates, Scores& merged) {
    encode_more(static_cast<std::uint32_t>(output), candidates, message_);
    std::span<const std::byte> ignored;
    if (const Status s = collective_.broadcast(message_, ignored); s != Status::ok) return s;
    const Scores& mine = executor_.rescore(static_cast<std::uint32_t>(output), candidates);
    std::vector<std::vector<Scores>> parts;
    if (const Status s = gather({&mine, 1}, parts); s != Status::ok) return s;
    std::vector<Scores> flat;
    for (auto& part : parts) flat.push_back(std::move(part[0]));
    merged = merge_scores(flat, candidates);
    return Status::ok;
}

Status Root::stop() {
    encode_stop(message_);
    std::span<const std::byte> ignored;
    return collective_.broadcast(message_, ignored);
}

Status follow(Executor& executor, Collective& collective) {
    std::vector<std::byte> message;
    std::vector<std::span<const std::byte>> ignored;
    std::span<const std::byte> received;
    std::uint32_t outputs = 0;
    for (;;) {
        if (const Status s = collective.broadcast({}, received); s != Status::ok) return s;
        const auto order = decode_order(received, executor.hparams().dim);
        if (!order) return Status::malformed;
        switch (order->command) {
            case Command::stop:
                return Status::ok;
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
        }
        if (const Status s = collective.gather(message, ignored); s != Status::ok) return s;
    }
}

}  // namespace shoal::exec
