#include "daemon/engine/batch.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

namespace shoal {
namespace {

using mesh::messages::Failed;

exec::KvShape without_memory(exec::KvShape shape) {
    shape.layers = 0;
    return shape;
}

// Also with one row left, if steps with answers cannot have it.
bool in_prompt(const Generation& generation) {
    return generation.prefilling() || exec::shares_rows(generation.sequence());
}

// Tokens of kept texts, to the positions of the cache. More, as they have beginnings in common.
constexpr std::uint64_t kKeptCaches = 8;

// What a device with the largest share reads or writes between two steps, if that is a block.
constexpr std::size_t kOrderBytes = std::size_t{4} << 20;

std::uint32_t blocks_of_an_order(const PlanSpec& spec) {
    const model::Hparams& hp = spec.model->hparams;
    std::size_t largest = 1;
    for (const shard::Slice& slice : spec.slices) {
        const std::size_t heads = std::size_t{2} * hp.n_layers * slice.kv_heads.size();
        largest =
            std::max(largest, heads * kernels::kv_block_bytes(spec.options.kv_type, hp.head_dim));
    }
    return static_cast<std::uint32_t>(
        std::clamp<std::size_t>(kOrderBytes / largest, 1, exec::kMaxOrderBlocks));
}

// Weight of the newest sample in the running speeds.
constexpr double kNewest = 0.1;
// A step with so many rows of prompts counts half. Those beside answers have few, and take nearly
// as long.
constexpr double kRowsOfWeight = 256;

}  // namespace

Batch::Batch(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
             const Limits& limits, Worker& prompts, std::function<void()> wake, Emit emit)
    : spec_(spec),
      root_(executor, collective, *spec.model->source),
      limits_{std::min({limits.parallel, spec.options.max_outputs, spec.options.max_rows}),
              limits.max_prompt_tokens},
      prompts_(prompts),
      wake_(std::move(wake)),
      emit_(std::move(emit)),
      blocks_(without_memory(executor.cache().shape()), spec.options.kv_positions),
      prefixes_(spec.options.kv_positions * kKeptCaches),
      block_bytes_(executor.cache().block(0).size()),
      order_blocks_(blocks_of_an_order(spec)) {}

Batch::~Batch() {
    drop_waiting();
}

void Batch::drop_waiting() noexcept {
    for (Waiting& waiting : waiting_) waiting.stop.request_stop();
    waiting_.clear();
}

exec::Status Batch::park() {
    drop_waiting();
    ready_.clear();
    for (const auto& generation : running_) give_back(generation->sequence());
    running_.clear();
    return root_.stop();
}

// Tokenising a long prompt must not hold up the steps of others. The task uses nothing of this
// object: it may outlive it.
void Batch::add(Job job) {
    const JobId id = job.id;
    const Generation::Room room{spec_.options.kv_positions, limits_.max_prompt_tokens};
    const auto promise = std::make_shared<std::promise<Generation::Begun>>();
    auto task = [promise, room, job = std::move(job), model = spec_.model,
                 wake = wake_](const std::stop_token& stop) mutable {
        try {
            promise->set_value(Generation::begin(std::move(job), *model, room, stop));
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
    const auto ready = std::find_if(ready_.begin(), ready_.end(),
                                    [&](const auto& g) { return g->job().id == job; });
    if (ready != ready_.end()) {
        if (recall_ && recall_->waits == (*ready)->place()) end_recall();
        (*ready)->cancel();
        tell_end(**ready);
        ready_.erase(ready);
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

// Takes the jobs that have begun and can run at all.
void Batch::take_begun() {
    while (first_has_begun()) {
        Waiting first = std::move(waiting_.front());
        waiting_.pop_front();
        try {
            auto begun = first.begun.get();
            if (const Failed* failed = std::get_if<Failed>(&begun)) {
                emit_(first.id, *failed);
            } else {
                auto& generation = std::get<0>(begun);
                generation->set_number(++begun_);
                join(ready_, std::move(generation));
            }
        } catch (const std::exception& e) {
            // One text that cannot be tokenised must not end the plan for the others.
            emit_(first.id, Failed{mesh::messages::ErrorCode::internal, e.what()});
        }
    }
}

void Batch::join(Queue& queue, std::unique_ptr<Generation> generation) {
    const auto behind = std::find_if(queue.begin(), queue.end(), [&](const auto& other) {
        return other->place() > generation->place();
    });
    queue.insert(behind, std::move(generation));
}

// Jobs start by their places; one that does not fit now holds up those behind it, so that a long
// request is not overtaken for ever. One that waits for what is being computed does not: that
// ends soon.
void Batch::admit() {
    take_begun();
    for (std::size_t i = 0; i < ready_.size() && running_.size() < limits_.parallel;) {
        Generation& next = *ready_[i];
        root_.settle_kind(next.sequence());
        if (next.finished()) {
            tell_end(next);
        } else if (may_share_soon(next)) {
            ++i;
            continue;
        } else if (seek(next)) {
            return;
        } else if (seat(next)) {
            join(running_, std::move(ready_[i]));
        } else {
            return;
        }
        ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

void Batch::tell_end(Generation& generation) {
    if (generation.failed()) {
        emit_(generation.job().id, *generation.failed());
    } else if (generation.sequence().id == 0 && generation.cancelled()) {
        emit_(generation.job().id,
              Failed{mesh::messages::ErrorCode::cancelled, "cancelled while waiting"});
    } else {
        emit_(generation.job().id,
              generation.done(spec_.model->name, static_cast<std::uint32_t>(spec_.peers.size())));
    }
}

void Batch::finish(std::size_t index) {
    tell_end(*running_[index]);
    give_back(running_[index]->sequence());
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
}

// Sequences that decode go first, with one row, so that a long prompt does not hold up running
// answers; how many these are is returned. Prompts follow in order or, half of the time, the
// shortest first: so a question does not wait for a book, and the book comes to its end. (Two turns
// of each, as steps of the two kinds may take turns as well.)
std::size_t Batch::choose_order() {
    batch_index_.clear();
    for (std::size_t i = 0; i < running_.size(); ++i) batch_index_.push_back(i);
    const auto prompts =
        std::stable_partition(batch_index_.begin(), batch_index_.end(),
                              [&](std::size_t i) { return !in_prompt(*running_[i]); });
    const auto left = [&](std::size_t i) {
        const exec::Sequence& s = running_[i]->sequence();
        return s.tokens.size() - s.computed;
    };
    if ((turn_++ & 2) != 0) {
        std::stable_sort(prompts, batch_index_.end(),
                         [&](std::size_t a, std::size_t b) { return left(a) < left(b); });
    }
    batch_.clear();
    for (const std::size_t i : batch_index_) batch_.push_back(&running_[i]->sequence());
    return static_cast<std::size_t>(prompts - batch_index_.begin());
}

exec::Status Batch::step() {
    if (recall_ && files_ != nullptr) {
        if (const exec::Status status = recall(); status != exec::Status::ok) return status;
    }
    admit();
    make_room();
    if (running_.empty()) return exec::Status::ok;

    const std::size_t decoding = choose_order();
    // Those that prefill come last; a step need not have rows of them (exec::Root::step).
    const auto in_prompts = [&] {
        std::uint64_t rows = 0;
        for (std::size_t i = decoding; i < batch_.size(); ++i) rows += batch_[i]->computed;
        return rows;
    };
    const std::uint64_t before = in_prompts();
    const Clock::time_point start = Clock::now();
    const auto shared = std::count_if(batch_.begin() + static_cast<std::ptrdiff_t>(decoding),
                                      batch_.end(), [](auto* s) { return exec::shares_rows(*s); });
    const bool both = shared != 0 && decoding + static_cast<std::size_t>(shared) < batch_.size();
    const exec::PromptRows most =
        decoding == 0 ? exec::PromptRows() : pace_.prompt_rows(decoding, both);
    if (const exec::Status status = root_.step(batch_, chosen_, most); status != exec::Status::ok) {
        return status;
    }
    if (root_.rows() != 0) measure(in_prompts() - before, decoding, Clock::now() - start);
    hand_out(decoding);
    return exec::Status::ok;
}

// What the step brought: tokens of prompts, then those that were chosen, then ends.
void Batch::hand_out(std::size_t decoding) {
    for (std::size_t i = 0; i < batch_index_.size(); ++i) {
        Generation& generation = *running_[batch_index_[i]];
        const exec::Sequence& s = generation.sequence();
        const bool grown = i >= decoding || !prefixes_.knows(s.id);
        if (s.computed != 0 && !s.pool && grown) prefixes_.add_running(s);
        if (const auto tokens = generation.advance()) emit_(generation.job().id, *tokens);
    }
    for (const exec::Chosen& c : chosen_) {
        Generation& generation = *running_[batch_index_[c.sequence]];
        mesh::messages::Token token = generation.accept(c.token, c.scores);
        if (token.index == generation.resumed_tokens()) token.model = spec_.model->name;
        ++counts_.generated_tokens;
        emit_(generation.job().id, token);
    }
    for (std::size_t i = running_.size(); i-- != 0;) {
        if (running_[i]->finished()) finish(i);
    }
}

void Batch::measure(std::uint64_t prompt_rows, std::size_t answers, Clock::duration took) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(took).count());
    pace_.stepped(prompt_rows, answers, root_.shared_rows(), seconds);
    if (prompt_rows == 0 && chosen_.empty()) return;
    if (prompt_rows != 0) {
        const auto rows = static_cast<double>(prompt_rows);
        const double weight = prefill_speed_ == 0 ? 1 : rows / (rows + kRowsOfWeight);
        prefill_speed_ += weight * (rows / seconds - prefill_speed_);
    } else {
        const double now = static_cast<double>(chosen_.size()) / seconds;
        decode_speed_ = decode_speed_ == 0 ? now : decode_speed_ + kNewest * (now - decode_speed_);
    }
}

}  // namespace shoal
