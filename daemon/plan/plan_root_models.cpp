// Models that take turns with the devices, and what of them stays in memory.

#include <algorithm>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/plan/make_room.hpp"
#include "daemon/plan/plan_root.hpp"

namespace shoal {

using mesh::messages::LoadedModel;
using mesh::messages::PlanStart;

namespace {

// So that times stay within their range.
constexpr std::int32_t kLongestKeep = 10 * 365 * 86'400;  // seconds
constexpr std::uint32_t kMostDoublings = 10;

}  // namespace

// The model at work goes on while jobs want it, until others have waited for the rest of its turn.
// One that took long to load has a longer one, and so has one with a job that several turns were
// too short for: what it computed may be lost each time. Requires: there are jobs.
KnownModel PlanRoot::whose_turn() {
    const bool none = plan_.state() == PlanLife::State::none;
    const mesh::ModelHash here = none ? mesh::ModelHash() : plan_.model().hash;
    const KnownModel* const other = jobs_.next_model(here);
    if (none || !jobs_.wants(here)) return *other;
    if (other == nullptr || plan_.state() != PlanLife::State::running) return plan_.model();
    const auto [begun, loaded] = plan_.loading();
    const auto turn = std::chrono::milliseconds(rules_.models.turn_ms) *
                      (1 << std::min(jobs_.interrupted(here), kMostDoublings));
    const Loop::Time over =
        turn_began_ + std::max<Loop::Clock::duration>(turn, 2 * (loaded - begun));
    if (loop_.now() >= over) return *other;
    turn_due_ = loop_.at(
        over, [this] { advance(); }, "another model's turn");
    return plan_.model();
}

void PlanRoot::park_plan() {
    plan_.park();
    engine_.park(plan_.offer().plan.id());
}

// Jobs that ran wait for its next turn, with the tokens they have; caches keep their beginnings.
void PlanRoot::on_parked(mesh::PlanId plan) {
    if (failures_.reported()) return;  // A device has left it: the verdict ends it.
    if (!plan_.on_parked(plan)) return;
    log::info("plan {} ({}) is parked", plan.number, plan_.model().name);
    PlanLife parked = std::exchange(plan_, {});
    plan_over();
    next_cause_ = PlanCause::model;
    std::exchange(reshape_, false) ? end(parked) : parked_.add(std::move(parked));
    unload_what_is_due();
    advance();
}

// As long as the plan would be made for the same devices.
bool PlanRoot::start_again(const KnownModel& model) {
    auto parked = parked_.take(model.hash);
    if (!parked) return false;
    plan_ = *std::move(parked);
    const Choice choice = choose(situation());
    if (files_came(choice) || !same_devices(choice, plan_.made_for(), true)) {
        next_cause_ = files_came(choice) ? PlanCause::files : PlanCause::devices;
        end_plan();
        return false;
    }
    plan_.start_again(loop_.now());
    links_->planned(PlanCause::turn);
    tell(plan_, PlanStart{plan_.offer().plan, next_plan_++, plan_.keeps_blocks()});
    return true;
}

Situation PlanRoot::beside_parked(Choice choice) const {
    parked_.reserve(choice.taking.devices, plan_.model().hash, ParkedPlans::Beside::parked,
                    loop_.now());
    return std::move(choice.taking);
}

Planned PlanRoot::plan_beside_others(const OpenModel& model, const Situation& taking) {
    const auto may_go = [&](const PlanLife& parked) { return !pinned(parked.model().hash); };
    const auto gone = [&](const PlanLife& parked) {
        log::info("{} leaves the memory to {}", parked.model().name, model.name);
        end(parked);
    };
    return make_room(model, rules_, taking, parked_, may_go, loop_.now(), gone).planned;
}

// The plan at hand would be parked for another model's.
Forecast PlanRoot::forecast(const mesh::ModelHash& model) const {
    Forecast out{rules_, situation(model), parked_, {}, loop_.now()};
    if (plan_.state() > PlanLife::State::loading) out.others.add(plan_);
    out.others.take(model);
    for (const PlanLife& plan : out.others.plans()) {
        if (pinned(plan.model().hash)) out.pinned.insert(plan.model().hash);
    }
    return out;
}

void PlanRoot::end_parked(std::vector<PlanLife> plans) {
    for (const PlanLife& plan : plans) end(plan);
}

// ---- what stays ----

void PlanRoot::keep(const mesh::ModelHash& model, std::int32_t seconds) {
    if (seconds == mesh::messages::kKeepAsSet) return;
    keep_[model] = std::clamp(seconds, -1, kLongestKeep);
    unload_what_is_due();
}

bool PlanRoot::pinned(const mesh::ModelHash& model) const {
    const auto said = keep_.find(model);
    return said != keep_.end() && said->second < 0;
}

std::optional<Loop::Time> PlanRoot::kept_until(const PlanLife& plan) const {
    const auto said = keep_.find(plan.model().hash);
    const std::int32_t seconds =
        said != keep_.end() ? said->second : rules_.models.keep_alive_seconds;
    if (seconds < 0) return std::nullopt;
    return plan.used() + std::chrono::seconds(seconds);
}

void PlanRoot::unload_what_is_due() {
    const Loop::Time now = loop_.now();
    std::optional<Loop::Time> next;
    const auto due = [&](const PlanLife& plan) {
        if (jobs_.wants(plan.model().hash)) return false;
        const auto until = kept_until(plan);
        if (!until) return false;
        if (*until <= now) {
            log::info("{} leaves the memory", plan.model().name);
            return true;
        }
        next = std::min(next.value_or(*until), *until);
        return false;
    };
    end_parked(parked_.take_if(due));
    if (plan_.state() == PlanLife::State::running && due(plan_)) {
        end_plan();
        loop_.post([this] { advance(); });
    }
    // What was said of a model that went, or never came, is over.
    std::erase_if(keep_, [&](const auto& said) {
        const mesh::ModelHash& model = said.first;
        const bool here = plan_.state() != PlanLife::State::none && plan_.model().hash == model;
        return !here && !parked_.contains(model) && !jobs_.wants(model);
    });
    unload_due_.reset();
    if (!next) return;
    unload_due_ = loop_.at(
        *next, [this] { unload_what_is_due(); }, "models that leave the memory");
}

std::vector<LoadedModel> PlanRoot::loaded() const {
    std::vector<LoadedModel> out;
    const Loop::Time now = loop_.now();
    const auto add = [&](const PlanLife& plan, bool at_work) {
        LoadedModel& model = out.emplace_back();
        model.name = plan.model().name;
        model.hash = plan.model().hash.hex();
        model.context = static_cast<std::uint32_t>(plan.offer().kv_positions);
        model.at_work = at_work;
        for (const auto& [id, device] : plan.devices()) {
            model.weight_bytes += device.held.weights;
            model.kv_bytes += device.held.kv_cache;
        }
        model.pinned = pinned(plan.model().hash);
        if (const auto until = kept_until(plan)) {
            const auto left = std::max(*until, now) - now;
            model.unloads_after = std::chrono::duration<double>(left).count();
        }
    };
    if (plan_.state() > PlanLife::State::loading) add(plan_, true);
    for (auto it = parked_.plans().rbegin(); it != parked_.plans().rend(); ++it) add(*it, false);
    return out;
}

}  // namespace shoal
