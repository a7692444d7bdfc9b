// A model's place beside those that are in the devices' memory already. Pure.
#pragma once

#include <functional>

#include "daemon/pieces/open_model.hpp"
#include "daemon/plan/parked_plans.hpp"
#include "daemon/plan/planner.hpp"
#include "daemon/plan/situation.hpp"

namespace shoal {

struct Placed {
    Planned planned;
    Situation left;  ///< the devices, with the memory that others leave to it
};

/// A plan of the model, with as much context as alone or a roomy one (ParkedPlans::kRoomy), beside
/// the others; else those of them that `may_go` make room, the one that was not used for longest
/// first, and is `gone`. Nobody goes for a model that does not fit even then. Throws what
/// plan_model throws.
Placed make_room(const OpenModel& model, const PlanRules& rules, const Situation& taking,
                 ParkedPlans& others, const std::function<bool(const PlanLife&)>& may_go,
                 ParkedPlans::Time now, const std::function<void(const PlanLife&)>& gone);

}  // namespace shoal
