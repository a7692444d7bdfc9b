// What plans for the devices at hand would do, without making one. Pure.
#pragma once

#include <set>

#include "daemon/pieces/open_model.hpp"
#include "daemon/plan/parked_plans.hpp"
#include "daemon/plan/planner.hpp"
#include "daemon/plan/situation.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// The root's rules and its situation at a moment: what a forecast is made from. May be asked by
/// any thread; takes seconds where devices are many.
struct Forecast {
    PlanRules rules;
    Situation situation;
    ParkedPlans others{};                ///< what is in the devices' memory of other models
    std::set<mesh::ModelHash> pinned{};  ///< of these, those that stay
    ParkedPlans::Time now{};

    /// A PlanReply, or Failed: it fits nowhere, with the numbers; there are not so many devices.
    mesh::messages::Event of(const OpenModel& model,
                             const mesh::messages::PlanRequest& request) const;
};

}  // namespace shoal
