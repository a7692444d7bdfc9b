// Who computes what: an offer for the devices at hand. Pure.
#pragma once

#include <vector>

#include "config/settings.hpp"
#include "daemon/pieces/open_model.hpp"
#include "daemon/plan/situation.hpp"
#include "daemon/planner/choose.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// What people say about plans.
struct PlanRules {
    config::ModelSettings models;
    config::PlanSettings plan;
};

/// All that a plan is chosen from.
struct PlanDraft {
    std::vector<Candidate> devices;   ///< the root first, the others by id
    LeftOutDevices left_out;          ///< those that the rules exclude
    mesh::messages::PlanOffer offer;  ///< without plan, model and devices
    planner::Cluster cluster;         ///< of `devices`
    planner::Terms terms;
};
/// For devices that choose() took, and the largest context that fits: the model's own or the
/// settings', or as much as the devices' memory holds. Throws std::runtime_error when the model
/// does not fit the settings.
PlanDraft draft_plan(const OpenModel& model, const PlanRules& rules, const Situation& taking);

/// Positions that a plan has where memory allows it: the model's own, or the settings'.
std::uint64_t wanted_context(const OpenModel& model, const PlanRules& rules) noexcept;

/// An offer without plan and model, and who has no part in it.
struct Planned {
    mesh::messages::PlanOffer offer;
    LeftOutDevices left_out;
};

/// Cuts a model among devices that choose() took. Those take part that answer soonest together
/// (planner::Chooser); the others are left out with the reason. The first is the root; the others
/// are ranked by id.
/// Throws std::runtime_error when the model does not fit the settings, and shard::PlanError with
/// the numbers when it does not fit the devices.
Planned plan_model(const OpenModel& model, const PlanRules& rules, const Situation& taking);
/// Whether the model would fit the same devices if another one were the root, which holds more than
/// its slice.
bool fits_another_root(const OpenModel& model, const PlanRules& rules, Situation taking);

}  // namespace shoal
