#include "daemon/root_loop.hpp"

#include <algorithm>

namespace shoal {
namespace {

using mesh::wire::Failed;

std::uint64_t blocks_of(std::uint64_t positions) {
    return (positions + exec::KvCache::kBlockPositions - 1) / exec::KvCache::kBlockPositions;
}

// Weight of the newest sample in the running speeds.
constexpr double kNewest = 0.1;

}  // namespace

RootLoop::RootLoop(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
                   const Limits& limits, Emit emit)
    : spec_(spec),
      root_(executor, collective, *spec.model->source),
      limits_{std::min(limits.parallel, spec.options.max_outputs), limits.max_prompt_tokens},
      emit_(std::move(emit)),
      capacity_blocks_(executor.cache().capacity_blocks()) {}

void RootLoop::cancel(JobId job) {
    const auto waiting =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const Job& j) { return j.id == job; });
    if (waiting != waiting_.end()) {
        waiting_.erase(waiting);
        emit_(job, Failed{mesh::wire::ErrorCode::cancelled, "cancelled while waiting"});
        return;
    }
    if (next_ && next_->job().id == job) {
        next_.reset();
        emit_(job, Failed{mesh::wire::ErrorCode::cancelled, "cancelled while waiting"});
        return;
    }
    for (std::size_t i = 0; i < running_.size(); ++i) {
        if (running_[i]->job().id != job) continue;
        running_[i]->cancel();
        finish(i);
        return;
    }
}

// Tokenises the first waiting job that can run at all; false when there is none.
bool RootLoop::begin_next() {
    while (!next_ && !waiting_.empty()) {
        Job job = std::move(waiting_.front());
        waiting_.pop_front();
        const JobId id = job.id;
        try {
            auto begun = Generation::begin(std::move(job), next_sequence_, *spec_.model->tokenizer,
                                           spec_.model->hparams,
                                           {spec_.options.kv_positions, limits_.max_prompt_tokens});
            if (const Failed* failed = std::get_if<Failed>(&begun)) {
                emit_(id, *failed);
            } else {
                next_ = std::move(std::get<0>(begun));
                ++next_sequence_;
            }
        } catch (const std::exception& e) {
            // One text that cannot be tokenised must not end the plan for the others.
            emit_(id, Failed{mesh::wire::ErrorCode::internal, e.what()});
        }
    }
    return next_ != nullptr;
}

// Jobs start in order; one that does not fit now holds up those behind it, so that a long
// request is not overtaken for ever.
void RootLoop::admit() {
    while (running_.size() < limits_.parallel && begin_next()) {
        const std::uint64_t blocks = blocks_of(next_->reserved_positions());
        if (reserved_blocks_ + blocks > capacity_blocks_) return;
        reserved_blocks_ += blocks;
        running_.push_back(std::move(next_));
        if (running_.back()->finished()) finish(running_.size() - 1);
    }
}

void RootLoop::finish(std::size_t index) {
    Generation& generation = *running_[index];
    emit_(generation.job().id,
          generation.done(spec_.model->name, static_cast<std::uint32_t>(spec_.peers.size())));
    root_.release(generation.sequence().id);
    reserved_blocks_ -= blocks_of(generation.reserved_positions());
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
}

exec::Status RootLoop::step() {
    admit();
    if (running_.empty()) return exec::Status::ok;

    // Sequences with one row go first, so that a long prompt does not hold up running answers.
    batch_.clear();
    batch_index_.clear();
    std::uint64_t prompt_rows = 0;
    for (const bool prefilling : {false, true}) {
        for (std::size_t i = 0; i < running_.size(); ++i) {
            if (running_[i]->prefilling() != prefilling) continue;
            batch_.push_back(&running_[i]->sequence());
            batch_index_.push_back(i);
            if (prefilling) prompt_rows += running_[i]->sequence().tokens.size();
        }
    }
    std::uint64_t before = 0;
    for (const exec::Sequence* s : batch_) before += s->computed;
    const Clock::time_point start = Clock::now();
    if (const exec::Status status = root_.step(batch_, chosen_); status != exec::Status::ok) {
        return status;
    }
    std::uint64_t rows = 0;
    for (const exec::Sequence* s : batch_) rows += s->computed;
    measure(prompt_rows == 0 ? 0 : rows - before, chosen_.size(), Clock::now() - start);

    std::vector<std::size_t> finished;
    for (const exec::Chosen& c : chosen_) {
        Generation& generation = *running_[batch_index_[c.sequence]];
        const mesh::wire::Token token = generation.accept(c.token);
        ++generated_;
        emit_(generation.job().id, token);
        if (generation.finished()) finished.push_back(batch_index_[c.sequence]);
    }
    std::sort(finished.rbegin(), finished.rend());
    for (const std::size_t index : finished) finish(index);
    return exec::Status::ok;
}

void RootLoop::measure(std::uint64_t prompt_rows, std::size_t decoded, Clock::duration took) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(took).count());
    if (prompt_rows != 0) {
        prefill_speed_ = static_cast<double>(prompt_rows) / seconds;
    } else {
        const double now = static_cast<double>(decoded) / seconds;
        decode_speed_ = decode_speed_ == 0 ? now : decode_speed_ + kNewest * (now - decode_speed_);
    }
}

}  // namespace shoal
