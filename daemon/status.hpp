// What the cluster looks like, put together from what this device knows.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine.hpp"
#include "daemon/plan_root.hpp"
#include "mesh/node.hpp"
#include "mesh/wire/plan.hpp"
#include "mesh/wire/requests.hpp"

namespace shoal {

struct StatusParts {
    std::string version, cluster;
    mesh::DeviceId self;
    std::optional<mesh::DeviceId> root;
    mesh::Term term;
    std::vector<mesh::Member> members;
    const mesh::wire::PlanOffer* offer = nullptr;  ///< the plan this device takes part in
    const std::map<mesh::DeviceId, PlanDeviceState>* states = nullptr;  ///< known to the root
    EngineSpeed speed;
    std::uint32_t queued = 0;
};
mesh::wire::StatusReply cluster_status(const StatusParts& parts);

/// Another device's status as it is seen from `self`: round trips are from here.
void localise_status(mesh::wire::StatusReply& reply, const mesh::DeviceId& self,
                     const std::vector<mesh::Member>& members);

/// What a member announced; nothing when it cannot be decoded.
mesh::wire::Announcement announcement_of(const mesh::Member& member);

/// Every model of the cluster, by name.
mesh::wire::ModelsReply cluster_models(const std::vector<mesh::Member>& members,
                                       const mesh::wire::PlanOffer* offer);

}  // namespace shoal
