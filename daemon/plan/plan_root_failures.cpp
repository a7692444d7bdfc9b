// How a plan of the root fails, and what is done then; what jobs are told that wait.

#include "daemon/log/log.hpp"
#include "daemon/plan/plan_root.hpp"

namespace shoal {
namespace {

// Who waits hears of another place no sooner than this after the last one.
constexpr auto kTellPlaces = std::chrono::seconds(1);

}  // namespace

using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::PlanEnd;
using mesh::messages::Progress;

void PlanRoot::on_member_lost(const mesh::DeviceId& device) {
    review_soon();
    end_parked(parked_.take_if([&](const PlanLife& plan) { return plan.takes_part(device); }));
    if (!plan_.takes_part(device)) return;
    failures_.lost(device, loop_.now());
    plan_failed(links_->name(device) + " was lost", {device});
    next_cause_ = PlanCause::lost;
}

void PlanRoot::review() {
    if (!term_) return;
    const Situation now = situation();
    show_left_out(choose(now));
    for (const auto& [one, other] : now.apart) {
        if (!plan_.takes_part(one) || !plan_.takes_part(other)) continue;
        return plan_failed(
            links_->name(one) + " and " + links_->name(other) + " lost their connection", {});
    }
    plan_ahead();
}

void PlanRoot::on_plan_end(const mesh::DeviceId& from, const PlanEnd& end) {
    end_parked(
        parked_.take_if([&](const PlanLife& plan) { return plan.concerns(end.plan, from); }));
    if (!plan_.concerns(end.plan, from)) return;
    log::warn("plan {} ends on {}: {}", end.plan.number, links_->name(from),
              end.error.empty() ? "it left" : end.error);
    const auto now = loop_.now();
    const auto due = failures_.report(from, end, now);
    if (due <= now) return conclude();
    verdict_due_ = loop_.at(
        due, [this] { conclude(); }, "reports of a failed plan");
}

void PlanRoot::conclude() {
    const auto name = [this](const mesh::DeviceId& id) { return links_->name(id); };
    const auto verdict = failures_.conclude(situation().devices, name, loop_.now());
    plan_failed(verdict.error, verdict.blamed);
    if (verdict.unfit) links_->abdicate(Unfit::failing, *verdict.unfit);
}

// With somebody to blame the next plan is another one, and made at once.
void PlanRoot::plan_failed(const std::string& error, const std::vector<mesh::DeviceId>& blamed) {
    log::warn("plan {} failed: {}", plan_.offer().plan.number, error);
    const std::string what = plan_.state() < PlanLife::State::starting ? "load" : "run";
    const bool under_jobs = jobs_.running() != 0;
    if (under_jobs) strike_jobs(error, blamed);
    end_plan();
    next_cause_ = PlanCause::failure;
    const auto pause = failures_.next_try(!blamed.empty(), under_jobs);
    if (!pause) {
        return fail_jobs("the cluster cannot " + what + " the model: " + error,
                         ErrorCode::unavailable);
    }
    tell_waiting({"planning again (" + error + ")", 0, 0});
    retry_ = loop_.after(
        *pause, [this] { advance(); }, "the next plan");
}

// A request under which one plan after another fails, before it gets a token, is given up, and the
// devices that it took with it are tried again.
void PlanRoot::strike_jobs(const std::string& error, const std::vector<mesh::DeviceId>& blamed) {
    const JobQueue::GivenUp given_up = jobs_.strike(blamed);
    if (given_up.jobs.empty()) return;
    failures_.pardon(given_up.devices);
    fail(given_up.jobs, ErrorCode::internal,
         "this request is given up: the model failed " + std::to_string(JobQueue::kMaxStrikes) +
             " times before it gave a token; the last time, " + error);
}

// The plan cannot be: the jobs that want its model fail.
void PlanRoot::fail_jobs(const std::string& error, ErrorCode code) {
    plan_.end();
    fail(jobs_.drop(plan_.model().hash), code, error);
    unload_what_is_due();
    loop_.post([this] { advance(); });
}

void PlanRoot::fail(const std::vector<JobId>& jobs, ErrorCode code, const std::string& error) {
    for (const JobId id : jobs) links_->emit(id, Failed{code, error});
}

void PlanRoot::tell_waiting(const Progress& progress) {
    for (const JobId id : jobs_.waiting_ids()) links_->emit(id, progress);
}

// While a model loads, all that wait hear of that.
void PlanRoot::tell_places() {
    if (places_told_ || jobs_.waiting() == 0) return;
    if (plan_.state() == PlanLife::State::running) {
        for (const auto& [job, place] : jobs_.moved(plan_.model().hash)) {
            links_->emit(job, progress_of(place, jobs_.expected_wait(place)));
        }
    }
    places_told_ = loop_.after(
        kTellPlaces,
        [this] {
            places_told_.reset();
            tell_places();
        },
        "places in the queue");
}

}  // namespace shoal
