#include "daemon/plan/make_room.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "daemon/plan/plan_member.hpp"
#include "daemon/shard/cutter.hpp"

namespace shoal {

Placed make_room(const OpenModel& model, const PlanRules& rules, const Situation& taking,
                 ParkedPlans& others, const std::function<bool(const PlanLife&)>& may_go,
                 ParkedPlans::Time now, const std::function<void(const PlanLife&)>& gone) {
    using Beside = ParkedPlans::Beside;
    if (others.empty()) return {plan_model(model, rules, taking), taking};
    const std::uint64_t enough = std::min(ParkedPlans::kRoomy, wanted_context(model, rules));
    const auto plan = [&](const ParkedPlans& beside, Beside which) {
        Situation left = taking;
        beside.reserve(left.devices, model.hash, which, now);
        Planned planned = plan_model(model, rules, left);
        return Placed{std::move(planned), std::move(left)};
    };
    const auto check_it_fits = [&] {
        ParkedPlans staying = others;
        staying.take_if(may_go);
        try {
            static_cast<void>(plan(staying, Beside::parked));
        } catch (const std::runtime_error& e) {
            if (staying.empty()) throw;
            throw shard::PlanError(
                fmt::format("{}; others were asked to stay in memory (keep_alive): unload {}",
                            e.what(), staying.plans().front().model().name));
        }
    };
    for (bool first = true;; first = false) {
        for (const Beside which : {Beside::displaced, Beside::parked}) {
            try {
                Placed placed = plan(others, which);
                const bool fits = placed.planned.offer.kv_positions >= enough &&
                                  others.plans().size() < PlanMember::kMaxPlans;
                if (fits) return placed;
            } catch (const std::runtime_error&) {
                // Others have to make room.
            }
        }
        if (first) check_it_fits();
        const auto displaced = others.displace(may_go, now);
        if (!displaced) return plan(others, Beside::parked);
        gone(*displaced);
    }
}

}  // namespace shoal
