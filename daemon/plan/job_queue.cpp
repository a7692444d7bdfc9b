#include "daemon/plan/job_queue.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <utility>
#include <variant>

namespace shoal {
namespace {

// A client may have so many times as many jobs waiting as places stay free.
constexpr std::size_t kShareOfFree = 3;
// Weight of the newest job in how long they take: one of so many.
constexpr int kNewestOf = 4;
// An expected wait of so many seconds is told in minutes.
constexpr int kInMinutes = 120;

}  // namespace

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

std::uint64_t JobQueue::latest_turn(const mesh::ModelHash& model) const noexcept {
    const auto it = turns_.find(model);
    return it == turns_.end() ? 0 : it->second;
}

const KnownModel* JobQueue::next_model(const mesh::ModelHash& but) const noexcept {
    const KnownModel* next = nullptr;
    for (const Queued& queued : jobs_) {
        const mesh::ModelHash& hash = queued.model.hash;
        if (queued.running || hash == but) continue;
        if (next == nullptr || latest_turn(hash) < latest_turn(next->hash)) next = &queued.model;
    }
    return next;
}

std::uint32_t JobQueue::interrupted(const mesh::ModelHash& model) const noexcept {
    std::uint32_t most = 0;
    for (const Queued& queued : jobs_) {
        if (queued.model.hash == model) most = std::max(most, queued.interrupted);
    }
    return most;
}

bool JobQueue::has_room(const Job& job, std::uint32_t limit) const {
    if (!job.request.resume_ids.empty()) return true;
    std::size_t waiting = 0, its = 0;
    for (const Queued& queued : jobs_) {
        if (queued.running || !queued.job.request.resume_ids.empty()) continue;
        ++waiting;
        if (queued.job.request.client == job.request.client) ++its;
    }
    return waiting < limit && its < kShareOfFree * (limit - waiting);
}

void JobQueue::add(Job job, const KnownModel& model, bool load_only) {
    if (!wants(model.hash)) turns_[model.hash] = ++starts_;  // Others have waited for longer.
    const auto behind = std::upper_bound(jobs_.begin(), jobs_.end(), job.request.priority,
                                         [](std::int32_t priority, const Queued& other) {
                                             return priority < other.job.request.priority;
                                         });
    jobs_.insert(behind, {.job = std::move(job), .model = model, .load_only = load_only});
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

// Jobs that wait to run, in the order in which they start when nothing comes and nothing ends.
std::vector<JobQueue::Queued*> JobQueue::in_turn(const mesh::ModelHash& at_work) {
    struct Turn {
        std::uint64_t model = 0;  // whose turn is so far away
        bool fresh = true;        // it has no tokens
        std::int32_t priority = 0;
        std::uint32_t before = 0;  // jobs of its client that run or start before it
        std::uint64_t served = 0;
        JobId id = 0;  // by arrival
        Queued* queued = nullptr;
        auto operator<=>(const Turn&) const = default;
    };
    std::vector<Turn> turns;
    std::map<std::uint64_t, std::uint32_t> has;
    for (Queued& queued : jobs_) {
        const mesh::messages::Generate& request = queued.job.request;
        const mesh::ModelHash& model = queued.model.hash;
        has[request.client] += queued.running ? 1 : 0;
        if (queued.running || queued.load_only) continue;
        turns.push_back({.model = model == at_work ? 0 : 1 + latest_turn(model),
                         .fresh = request.resume_ids.empty(),
                         .priority = request.priority,
                         .id = queued.job.id,
                         .queued = &queued});
    }
    std::erase_if(served_, [&](const auto& entry) { return !has.contains(entry.first); });
    std::sort(turns.begin(), turns.end());
    for (Turn& turn : turns) {
        const std::uint64_t client = turn.queued->job.request.client;
        turn.before = has[client]++;
        if (const auto it = served_.find(client); it != served_.end()) turn.served = it->second;
    }
    std::sort(turns.begin(), turns.end());
    std::vector<Queued*> out;
    for (const Turn& turn : turns) out.push_back(turn.queued);
    return out;
}

JobQueue::Next JobQueue::next(const mesh::ModelHash& model, std::uint32_t parallel,
                              const LoadingTime& loading, Clock::time_point now) {
    parallel_ = parallel;
    Next next;
    turns_[model] = ++starts_;
    std::erase_if(turns_, [&](const auto& t) { return t.first != model && !wants(t.first); });
    const auto taken = [&](Queued& queued) -> const Job& {
        Job& job = queued.job;
        if (!job.first_token) {
            job.loading = std::max(Clock::duration::zero(),
                                   loading.loaded - std::max(loading.begun, job.queued_at));
        }
        return job;
    };
    for (Queued& queued : jobs_) {
        if (queued.model.hash == model && queued.load_only) next.loaded.push_back(taken(queued));
    }
    std::uint32_t together = running();
    bool suspect_runs = std::any_of(jobs_.begin(), jobs_.end(), [](const Queued& q) {
        return q.running && q.strikes >= kStrikesAlone;
    });
    for (Queued* queued : in_turn(model)) {
        const bool suspect = queued->strikes >= kStrikesAlone;
        const bool full = together >= parallel || suspect_runs || (suspect && together != 0);
        if (queued->model.hash != model || full) break;
        ++together;
        suspect_runs = suspect;
        queued->running = true;
        queued->started = now;
        queued->place = 0;
        queued->tokens_before = queued->job.request.resume_ids.size();
        served_[queued->job.request.client] = ++starts_;
        next.start.push_back(taken(*queued));
    }
    return next;
}

std::vector<JobQueue::Place> JobQueue::moved(const mesh::ModelHash& at_work) {
    std::vector<Place> out;
    std::size_t place = 0;
    for (Queued* queued : in_turn(at_work)) {
        ++place;
        if (std::exchange(queued->place, place) != place) out.push_back({queued->job.id, place});
    }
    return out;
}

std::optional<Clock::duration> JobQueue::expected_wait(std::size_t place) const noexcept {
    if (service_ == Clock::duration::zero()) return std::nullopt;
    return service_ * static_cast<Clock::rep>(place) / parallel_;
}

bool JobQueue::record(JobId id, const mesh::messages::Event& event, Clock::time_point now) {
    const auto it = find(id);
    if (it == jobs_.end()) return false;
    if (const auto* token = std::get_if<mesh::messages::Token>(&event)) {
        // The record: all that is needed to go on elsewhere.
        it->job.request.resume_ids.push_back(token->id);
        if (!it->job.first_token) it->job.first_token = now;
    }
    const auto* done = std::get_if<mesh::messages::Done>(&event);
    if (done != nullptr && done->reason != mesh::messages::StopReason::cancelled && it->running) {
        const Clock::duration took = now - it->started;
        service_ =
            service_ == Clock::duration::zero() ? took : service_ + (took - service_) / kNewestOf;
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
    for (Queued& queued : jobs_) {
        if (!queued.running) continue;
        queued.running = false;
        if (queued.job.request.resume_ids.size() > queued.tokens_before) {
            queued.strikes = queued.interrupted = 0;
            queued.struck.clear();
        } else {
            ++queued.interrupted;
        }
    }
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

mesh::messages::Progress progress_of(std::size_t place,
                                     const std::optional<Clock::duration>& expected_wait) {
    static constexpr std::array<const char*, 4> kEndings = {"th", "st", "nd", "rd"};
    const std::size_t digit = place / 10 % 10 == 1 ? 0 : place % 10;
    std::string text =
        std::to_string(place) + kEndings[digit < kEndings.size() ? digit : 0] + " in the queue";
    if (expected_wait) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(*expected_wait).count();
        text += ", about ";
        text += seconds < kInMinutes ? std::to_string(seconds) + " s"
                                     : std::to_string((seconds + 30) / 60) + " min";
    }
    return {std::move(text), 0, 0};
}

}  // namespace shoal
