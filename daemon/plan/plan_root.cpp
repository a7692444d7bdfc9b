#include "daemon/plan/plan_root.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/plan/offer.hpp"
#include "daemon/plan/planner.hpp"

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Fault;
using mesh::messages::PlanEnd;
using mesh::messages::PlanLoaded;
using mesh::messages::PlanProgress;
using mesh::messages::PlanRef;
using mesh::messages::PlanStart;

namespace {

// How long a new root waits for all devices to acknowledge it, and how often it looks.
constexpr auto kSettlePatience = std::chrono::seconds(2);
constexpr auto kSettlePause = std::chrono::milliseconds(50);
// A device that is to lead instead of this one has claimed that by then.
constexpr auto kTakeover = std::chrono::seconds(5);

}  // namespace

PlanRoot::PlanRoot(Loop& loop, Models& models, Engine& engine, const PlanRules& rules,
                   std::unique_ptr<PlanLinks> links, PlanPatience patience)
    : loop_(loop),
      models_(models),
      engine_(engine),
      rules_(rules),
      links_(std::move(links)),
      self_(links_->self()),
      patience_(patience),
      failures_(self_, patience) {}

void PlanRoot::become_root(mesh::Term term) {
    resign();
    term_ = term;
    changed_ = loop_.now();
    next_plan_ = 1;
    next_cause_ = PlanCause::first;
}

void PlanRoot::resign() {
    end_plan();
    end_parked(parked_.take_if([](const PlanLife&) { return true; }));
    parked_.clear();
    keep_.clear();
    unload_due_.reset();
    jobs_.clear();
    term_.reset();
    failures_.clear();
    speeds_ = {};
    links_->slow({});
    stepped_aside_ = false;
    stepping_aside_.reset();
    no_room_.clear();
    show_left_out({});
}

void PlanRoot::set_rules(PlanRules rules) {
    rules_ = std::move(rules);
    reshape(PlanCause::rules);
    end_parked(parked_.take_if([](const PlanLife&) { return true; }));
    unload_what_is_due();
}

bool PlanRoot::submit(Job job, const KnownModel& model, bool load_only) {
    if (!term_ || !jobs_.has_room(job, rules_.models.queue)) return false;
    jobs_.add(std::move(job), model, load_only);
    advance();
    tell_places();
    return true;
}

void PlanRoot::cancel(JobId id) {
    switch (jobs_.cancel(id)) {
        case JobQueue::Cancelled::unknown:
            return;
        case JobQueue::Cancelled::running:
            return engine_.cancel(id);
        case JobQueue::Cancelled::dropped:
            fail({id}, ErrorCode::cancelled, "cancelled");
            advance();
            return unload_what_is_due();
    }
}

// ---- from the queue to a plan that runs its jobs ----

void PlanRoot::advance() {
    using State = PlanLife::State;
    if (!term_ || jobs_.empty() || stepping_aside_) return;
    if (plan_.state() == State::parking || failures_.reported()) return;
    const KnownModel wanted = whose_turn();
    const bool same_model = plan_.model().hash == wanted.hash;
    if (plan_.state() == State::none) return wait_to_settle() ? void() : begin(wanted);
    if (plan_.state() != State::running) {
        // What starts is loaded: it is parked as soon as it runs.
        if (same_model || plan_.state() == State::starting) return;
    } else {
        // Devices that failed before are tried again when nothing runs; jobs that could run now do
        // not wait for them.
        const Choice choice = choose(situation());
        const bool outdated =
            reshape_ || files_came(choice) || !same_devices(choice, plan_.made_for(), true);
        if (!outdated || jobs_.running() != 0) {
            if (!same_model) return park_plan();
            if (same_devices(choice, plan_.made_for(), false)) dispatch();
            return;
        }
        if (!reshape_) next_cause_ = files_came(choice) ? PlanCause::files : PlanCause::devices;
    }
    if (!same_model) next_cause_ = PlanCause::model;
    end_plan();
    begin(wanted);
}

// A new root's devices follow it one by one, and a new device meets the others one by one: a plan
// for the first of them would be made again at once. True while it is too early to plan.
bool PlanRoot::wait_to_settle() {
    if (loop_.now() - changed_ >= kSettlePatience || links_->cluster().settled) return false;
    if (!settling_) {
        settling_ = loop_.after(
            kSettlePause,
            [this] {
                settling_.reset();
                advance();
            },
            "devices to follow");
    }
    return true;
}

void PlanRoot::begin(const KnownModel& model) {
    if (start_again(model)) return;
    plan_.open(model, loop_.now());
    Models::Want want;
    want.owner = this;
    want.model = model;
    want.tokenizer = false;  // The plan's own model brings it.
    want.progress = [this, name = model.name](std::uint64_t, std::uint64_t total) {
        if (total == 0) tell_waiting({waiting_for_file(name), 0, 0});
    };
    want.done = [this](const std::shared_ptr<const OpenModel>& opened, const std::string& error) {
        if (plan_.state() != PlanLife::State::opening) return;
        if (!opened) return fail_jobs(error, ErrorCode::not_found);
        try {
            offer(*opened);
        } catch (const std::exception& e) {
            if (!step_aside(*opened, e.what())) fail_jobs(e.what(), ErrorCode::too_large);
        }
    };
    models_.get(std::move(want));
}

// A device of the plan has the file by now that it lacked: it can take rows of prompts.
bool PlanRoot::files_came(const Choice& choice) const {
    return std::ranges::any_of(plan_.offer().devices, [&](const auto& device) {
        return device.wants_file && std::ranges::any_of(choice.taking.devices, [&](const auto& c) {
                   return c.whole_file && c.member.id.bytes == device.id;
               });
    });
}

// What will have the plan made anew before the next job does so now, when nobody waits for it.
void PlanRoot::plan_ahead() {
    if (plan_.state() != PlanLife::State::running || !jobs_.empty() || failures_.reported()) return;
    if (!reshape_) {
        if (!files_came(choose(situation()))) return;
        next_cause_ = PlanCause::files;
    }
    const KnownModel model = plan_.model();
    end_plan();
    begin(model);
}

// A device may lead because it was the first one, and be too small for a root's part. False when
// the model would fit no better if another one led, or when nobody took over; and while a model is
// to stay in memory, which would leave with its root.
bool PlanRoot::step_aside(const OpenModel& model, const std::string& why) {
    const auto stays = [&](const PlanLife& parked) { return pinned(parked.model().hash); };
    if (stepped_aside_ || std::ranges::any_of(parked_.plans(), stays)) return false;
    if (!fits_another_root(model, rules_, choose(situation()).taking)) return false;
    stepped_aside_ = true;
    plan_.end();
    tell_waiting({"another device is to lead (" + why + ")", 0, 0});
    links_->abdicate(Unfit::too_small, why);
    stepping_aside_ = loop_.after(
        kTakeover,
        [this] {
            stepping_aside_.reset();
            advance();
        },
        "another to lead");
    return true;
}

void PlanRoot::offer(const OpenModel& model) {
    const Choice choice = choose(situation());
    Planned planned = plan_beside_others(model, choice.taking);
    no_room_ = std::move(planned.left_out);
    planned.offer.plan = PlanRef::of({*term_, next_plan_++});
    planned.offer.model = plan_.model().hash.bytes;
    planned.offer.model_name = plan_.model().name;
    planned.offer.file_bytes = plan_.model().file_bytes;
    std::set<mesh::DeviceId> made_for;
    for (const Candidate& c : choice.taking.devices) made_for.insert(c.member.id);
    plan_.offer(std::move(planned.offer), std::move(made_for), loop_.now());
    reshape_ = false;
    links_->planned(std::exchange(next_cause_, PlanCause::model));
    show_left_out(choice);
    const mesh::messages::PlanOffer& offer = plan_.offer();
    log::info("plan {}: {} on {} devices, context {}", offer.plan.number, offer.model_name,
              offer.devices.size(), offer.kv_positions);
    if (offer.sequence_rows != 0) {
        log::info(
            "plan {}: prompts of {} tokens and more are shared out by tokens among {} devices",
            offer.plan.number, offer.sequence_rows,
            std::ranges::count_if(offer.devices, [](const auto& d) { return d.row_share != 0; }));
    }
    if (offer.overlap) {
        log::info("plan {}: steps of more than {} tokens compute in two halves, in turns",
                  offer.plan.number, executor_options(offer).flow_rows());
    }
    for (const auto& device : offer.devices) links_->send({device.id}, offer);
    if (!choice.left_out.empty()) review_soon();
    watch_loading();
}

// A device that stands still while it loads holds up all others.
void PlanRoot::watch_loading() {
    loading_watch_ = loop_.after(
        patience_.stall / 4,
        [this] {
            if (plan_.state() != PlanLife::State::loading) return;
            const auto stuck = plan_.stuck(loop_.now() - patience_.stall);
            // Without the file it is nobody's fault.
            if (!stuck || links_->holders(plan_.model().hash).empty()) return watch_loading();
            const auto seconds = std::chrono::round<std::chrono::seconds>(patience_.stall).count();
            on_plan_end(*stuck,
                        {plan_.offer().plan,
                         "it did not come on with loading for " + std::to_string(seconds) + " s",
                         Fault::own,
                         {}});
        },
        "a plan that loads");
}

void PlanRoot::on_progress(const mesh::DeviceId& from, const PlanProgress& progress) {
    if (plan_.on_progress(from, progress, loop_.now())) tell_waiting(plan_.progress());
}

void PlanRoot::on_loaded(const mesh::DeviceId& from, const PlanLoaded& loaded) {
    if (!plan_.on_loaded(from, loaded)) return;
    tell(plan_, PlanStart{plan_.offer().plan, 0, plan_.keeps_blocks()});
}

void PlanRoot::on_started(mesh::PlanId plan) {
    if (!plan_.on_started(plan, loop_.now())) return;
    std::map<mesh::DeviceId, double> expected;
    for (const Candidate& c : situation().devices) {
        const auto it = plan_.devices().find(c.member.id);
        if (it == plan_.devices().end() || c.member.description.speed <= 0) continue;
        expected[c.member.id] =
            static_cast<double>(it->second.held.weights) / c.member.description.speed;
    }
    speeds_.begin(plan, expected);
    turn_began_ = loop_.now();
    const auto [begun, loaded] = plan_.loading();
    links_->plan_runs(loaded - begun);
    log::info("plan {} runs after {:.2f} s", plan_.offer().plan.number,
              std::chrono::duration<double>(loaded - begun).count());
    advance();
    unload_what_is_due();
}

void PlanRoot::dispatch() {
    const JobQueue::Next next =
        jobs_.next(plan_.model().hash, engine_.parallel(), plan_.loading(), loop_.now());
    for (const Job& job : next.start) engine_.submit(job);
    mesh::messages::Done done;
    done.model = plan_.model().name;
    done.devices = static_cast<std::uint32_t>(plan_.offer().devices.size());
    for (const Job& job : next.loaded) {
        done.load_seconds = std::chrono::duration<double>(job.loading).count();
        on_job_event(job.id, done);
    }
}

void PlanRoot::on_job_event(JobId id, const Event& event) {
    if (!jobs_.record(id, event, loop_.now())) return;
    failures_.plan_works();
    plan_.use(loop_.now());
    links_->emit(id, event);
    if (!mesh::messages::is_final(event)) return;
    advance();
    unload_what_is_due();
}

void PlanRoot::end_plan() {
    models_.cancel(this);
    models_.cancel(&links_reviewed_);
    end(plan_);
    plan_.end();
    plan_over();
}

void PlanRoot::tell(const PlanLife& plan, const mesh::messages::PlanMessage& message) {
    for (const auto& [id, device] : plan.devices()) links_->send(id, message);
}

void PlanRoot::end(const PlanLife& plan) {
    speeds_.end(plan.offer().plan.id());
    tell(plan, PlanEnd{plan.offer().plan, ""});
}

// The plan at hand is over, or parked.
void PlanRoot::plan_over() {
    failures_.plan_over();
    verdict_due_.reset();
    loading_watch_.reset();
    turn_due_.reset();
    fail(jobs_.plan_over(), ErrorCode::cancelled, "cancelled");
}

}  // namespace shoal
