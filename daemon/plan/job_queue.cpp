#include "daemon/plan/job_queue.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace shoal {

std::uint32_t JobQueue::running() const noexcept {
    return static_cast<std::uint32_t>(
        std::count_if(jobs_.begin(), jobs_.end(), [](const Queued& q) { return q.running; }));
}

std::vector<JobId> JobQueue::waiting_ids() const {
    std::vector<JobId> out;
    for (const Queued& queued : jobs_) {
        if (!queued.running) out.push_back(queued.job.id);
    }
    return out;
}

bool JobQueue::wants(const mesh::ModelHash& model) const noexcept {
    return std::ranges::any_of(jobs_, [&](const Queued& q) { return q.model.hash == model; });
}

std::uint64_t JobQueue::served(const mesh::ModelHash& model) const noexcept {
    const auto it = served_.find(model);
    return it == served_.end() ? 0 : it->second;
}

const KnownModel* JobQueue::next_model(const mesh::ModelHash& but) const noexcept {
    const KnownModel* next = nullptr;
    for (const Queued& queued : jobs_) {
        const mesh::ModelHash& hash = queued.model.hash;
        if (queued.running || hash == but) continue;
        if (next == nullptr || served(hash) < served(next->hash)) next = &queued.model;
    }
    return next;
}

void JobQueue::add(Job job, const KnownModel& model, bool load_only) {
    jobs_.push_back({.job = std::move(job), .model = model, .load_only = load_only});
}

JobQueue::Cancelled JobQueue::cancel(JobId id) {
    const auto it = find(id);
    if (it == jobs_.end()) return Cancelled::unknown;
    if (it->running) {
        it->cancelled = true;
        return Cancelled::running;
    }
    jobs_.erase(it);
    return Cancelled::dropped;
}

JobQueue::Next JobQueue::next(const mesh::ModelHash& model, std::uint32_t parallel,
                              const LoadingTime& loading) {
    Next next;
    std::uint32_t together = running();
    served_[model] = ++serves_;
    std::erase_if(served_, [&](const auto& s) { return s.first != model && !wants(s.first); });
    for (Queued& queued : jobs_) {
        if (queued.model.hash != model) continue;
        const bool alone = queued.strikes >= kStrikesAlone;
        if (queued.running && alone) break;
        if (queued.running) continue;
        Job& job = queued.job;
        if (!job.first_token) {
            job.loading = std::max(Clock::duration::zero(),
                                   loading.loaded - std::max(loading.begun, job.queued_at));
        }
        if (queued.load_only) {
            next.loaded.push_back(job);
            continue;
        }
        if (together == parallel || (alone && together != 0)) break;
        ++together;
        queued.running = true;
        queued.tokens_before = job.request.resume_ids.size();
        next.start.push_back(job);
        if (alone) break;
    }
    return next;
}

bool JobQueue::record(JobId id, const mesh::messages::Event& event, Clock::time_point now) {
    const auto it = find(id);
    if (it == jobs_.end()) return false;
    if (const auto* token = std::get_if<mesh::messages::Token>(&event)) {
        // The record: all that is needed to go on elsewhere.
        it->job.request.resume_ids.push_back(token->id);
        if (!it->job.first_token) it->job.first_token = now;
    }
    if (mesh::messages::is_final(event)) jobs_.erase(it);
    return true;
}

JobQueue::GivenUp JobQueue::strike(std::span<const mesh::DeviceId> blamed) {
    GivenUp given_up;
    for (Queued& queued : jobs_) {
        if (!queued.running) continue;
        if (queued.job.request.resume_ids.size() > queued.tokens_before) {
            queued.strikes = 0;
            queued.struck.clear();
            continue;
        }
        ++queued.strikes;
        queued.struck.insert(blamed.begin(), blamed.end());
        if (queued.strikes >= kMaxStrikes) given_up.devices.merge(queued.struck);
    }
    given_up.jobs = drop_if([](const Queued& q) { return q.strikes >= kMaxStrikes; });
    return given_up;
}

std::vector<JobId> JobQueue::plan_over() {
    for (Queued& queued : jobs_) queued.running = false;
    return drop_if([](const Queued& q) { return q.cancelled; });
}

std::vector<JobId> JobQueue::drop(const mesh::ModelHash& model) {
    return drop_if([&](const Queued& q) { return q.model.hash == model; });
}

template <typename Which>
std::vector<JobId> JobQueue::drop_if(Which which) {
    std::vector<JobId> dropped;
    std::erase_if(jobs_, [&](const Queued& queued) {
        if (!which(queued)) return false;
        dropped.push_back(queued.job.id);
        return true;
    });
    return dropped;
}

std::deque<JobQueue::Queued>::iterator JobQueue::find(JobId id) {
    return std::find_if(jobs_.begin(), jobs_.end(),
                        [&](const Queued& queued) { return queued.job.id == id; });
}

}  // namespace shoal
