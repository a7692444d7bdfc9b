// Who computes what: an offer for the devices at hand. Pure.
#pragma once

#include "config/settings.hpp"
#include "daemon/pieces/open_model.hpp"
#include "daemon/plan/situation.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// An offer without plan and model, and who has no part in it for lack of memory.
struct Planned {
    mesh::messages::PlanOffer offer;
    LeftOutDevices left_out;
};

/// Cuts a model among devices that choose() took, for the largest context that fits: the model's
/// own or the settings', halved until the devices' memory holds it. A device whose memory holds no
/// part at all is left out rather than stop the others. The first is the root; the others are
/// ranked by id.
/// Throws std::runtime_error when the model does not fit the settings, and shard::PlanError with
/// the numbers when it does not fit the devices.
Planned plan_model(const OpenModel& model, const config::ModelSettings& settings,
                   const Situation& taking);
/// Whether the model would fit the same devices if another one were the root, which holds more than
/// its slice.
bool fits_another_root(const OpenModel& model, const config::ModelSettings& settings,
                       Situation taking);

}  // namespace shoal
