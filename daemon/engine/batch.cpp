#include "daemon/engine/batch.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

namespace shoal {
namespace {

using mesh::messages::Failed;

std::uint64_t blocks_of(std::uint64_t positions) {
    return (positions + exec::KvCache::kBlockPositions - 1) / exec::KvCache::kBlockPositions;
}

// Weight of the newest sample in the running speeds.
constexpr double kNewest = 0.1;

}  // namespace

Batch::Batch(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
             const Limits& limits, Worker& prompts, std::function<void()> wake, Emit emit)
    : spec_(spec),
      root_(executor, collective, *spec.model->source),
      limits_{std::min(limits.parallel, spec.options.max_outputs), limits.max_prompt_tokens},
      prompts_(prompts),
      wake_(std::move(wake)),
      emit_(std::move(emit)),
      capacity_blocks_(executor.cache().capacity_blocks()) {}

Batch::~Batch() {
    for (Waiting& waiting : waiting_) waiting.stop.request_stop();
}

// Tokenising a long prompt must not hold up the steps of others. The task uses nothing of this
// object: it may outlive it.
void Batch::add(Job job) {
    const JobId id = job.id;
    const Generation::Room room{spec_.options.kv_positions, limits_.max_prompt_tokens};
    const auto promise = std::make_shared<std::promise<Generation::Begun>>();
    auto task = [promise, room, job = std::move(job), sequence = next_sequence_++,
                 model = spec_.model, wake = wake_](const std::stop_token& stop) mutable {
        try {
            promise->set_value(Generation::begin(std::move(job), sequence, *model, room, stop));
        } catch (...) {
            promise->set_exception(std::current_exception());
        }
        wake();
    };
    auto begun = promise->get_future();
    waiting_.push_back({id, std::move(begun), prompts_.post(Worker::Task(std::move(task)))});
}

void Batch::cancel(JobId job) {
    const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                      [&](const Waiting& w) { return w.id == job; });
    if (waiting != waiting_.end()) {
        waiting->stop.request_stop();
        waiting_.erase(waiting);
        emit_(job, Failed{mesh::messages::ErrorCode::cancelled, "cancelled while waiting"});
        return;
    }
    if (next_ && next_->job().id == job) {
        next_.reset();
        emit_(job, Failed{mesh::messages::ErrorCode::cancelled, "cancelled while waiting"});
        return;
    }
    for (std::size_t i = 0; i < running_.size(); ++i) {
        if (running_[i]->job().id != job) continue;
        running_[i]->cancel();
        finish(i);
        return;
    }
}

bool Batch::first_has_begun() const {
    return !waiting_.empty() &&
           waiting_.front().begun.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

// Takes the first job that has begun and can run at all; false when there is none yet.
bool Batch::take_next() {
    while (!next_ && first_has_begun()) {
        Waiting first = std::move(waiting_.front());
        waiting_.pop_front();
        try {
            auto begun = first.begun.get();
            if (const Failed* failed = std::get_if<Failed>(&begun)) {
                emit_(first.id, *failed);
            } else {
                next_ = std::move(std::get<0>(begun));
            }
        } catch (const std::exception& e) {
            // One text that cannot be tokenised must not end the plan for the others.
            emit_(first.id, Failed{mesh::messages::ErrorCode::internal, e.what()});
        }
    }
    return next_ != nullptr;
}

// Jobs start in order; one that does not fit now holds up those behind it, so that a long
// request is not overtaken for ever.
void Batch::admit() {
    while (running_.size() < limits_.parallel && take_next()) {
        const std::uint64_t blocks = blocks_of(next_->reserved_positions());
        if (reserved_blocks_ + blocks > capacity_blocks_) return;
        reserved_blocks_ += blocks;
        running_.push_back(std::move(next_));
        if (running_.back()->finished()) finish(running_.size() - 1);
    }
}

void Batch::finish(std::size_t index) {
    Generation& generation = *running_[index];
    if (generation.failed()) {
        emit_(generation.job().id, *generation.failed());
    } else {
        emit_(generation.job().id,
              generation.done(spec_.model->name, static_cast<std::uint32_t>(spec_.peers.size())));
    }
    // One that never ran holds nothing, and any number of them may end between two steps.
    if (generation.sequence().computed != 0) root_.release(generation.sequence().id);
    reserved_blocks_ -= blocks_of(generation.reserved_positions());
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
}

exec::Status Batch::step() {
    admit();
    if (running_.empty()) return exec::Status::ok;

    // Sequences with one row go first, so that a long prompt does not hold up running answers.
    batch_.clear();
    batch_index_.clear();
    std::size_t decoding = 0;
    for (const bool prefilling : {false, true}) {
        decoding = batch_.size();
        for (std::size_t i = 0; i < running_.size(); ++i) {
            if (running_[i]->prefilling() != prefilling) continue;
            batch_.push_back(&running_[i]->sequence());
            batch_index_.push_back(i);
        }
    }
    // Those that prefill come last; a step need not have rows of them (exec::Root::step).
    const auto in_prompts = [&] {
        std::uint64_t rows = 0;
        for (std::size_t i = decoding; i < batch_.size(); ++i) rows += batch_[i]->computed;
        return rows;
    };
    const std::uint64_t before = in_prompts();
    const Clock::time_point start = Clock::now();
    if (const exec::Status status = root_.step(batch_, chosen_); status != exec::Status::ok) {
        return status;
    }
    measure(in_prompts() - before, chosen_.size(), Clock::now() - start);
    hand_out();
    return exec::Status::ok;
}

// What the step brought: tokens of prompts, then those that were chosen, then ends.
void Batch::hand_out() {
    for (const auto& generation : running_) {
        if (const auto tokens = generation->advance()) emit_(generation->job().id, *tokens);
    }
    for (const exec::Chosen& c : chosen_) {
        Generation& generation = *running_[batch_index_[c.sequence]];
        mesh::messages::Token token = generation.accept(c.token, c.scores);
        if (token.index == generation.resumed_tokens()) token.model = spec_.model->name;
        ++generated_;
        emit_(generation.job().id, token);
    }
    for (std::size_t i = running_.size(); i-- != 0;) {
        if (running_[i]->finished()) finish(i);
    }
}

void Batch::measure(std::uint64_t prompt_rows, std::size_t decoded, Clock::duration took) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(took).count());
    if (prompt_rows == 0 && decoded == 0) return;
    if (prompt_rows != 0) {
        prefill_speed_ = static_cast<double>(prompt_rows) / seconds;
    } else {
        const double now = static_cast<double>(decoded) / seconds;
        decode_speed_ = decode_speed_ == 0 ? now : decode_speed_ + kNewest * (now - decode_speed_);
    }
}

}  // namespace shoal
