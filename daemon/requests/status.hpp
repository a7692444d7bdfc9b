// What the cluster looks like, put together from what this device knows.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine/engine.hpp"
#include "daemon/plan/plan_root.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/node.hpp"

namespace shoal {

/// A member until a while ago.
struct LostMember {
    mesh::Member member;
    std::chrono::steady_clock::time_point since;
};

struct StatusParts {
    std::string version, cluster;
    mesh::DeviceId self;
    std::optional<mesh::DeviceId> root;
    mesh::Term term;
    std::vector<mesh::Member> members;
    std::vector<LostMember> lost;
    std::chrono::steady_clock::time_point now;
    std::string address;  ///< of this device, as others know it; empty: as the members have it
    const mesh::messages::PlanOffer* offer = nullptr;  ///< the plan this device takes part in
    const std::map<mesh::DeviceId, PlanDeviceState>* states = nullptr;  ///< known to the root
    EngineSpeed speed;
    std::uint32_t parallel = 0;
    std::uint32_t queued = 0;
    const KnownLinks* links = nullptr;  ///< known to the root
    std::vector<mesh::messages::LoadedModel> loaded{};
};
mesh::messages::StatusReply cluster_status(const StatusParts& parts);

/// Another device's status as it is seen from `self`: round trips and links are from here.
void localise_status(mesh::messages::StatusReply& reply, const mesh::DeviceId& self,
                     const std::vector<mesh::Member>& members,
                     const std::vector<mesh::LinkReport>& links);

/// Pairs of `members` of which one does not say that it sees the other. The first, which asks, sees
/// them all.
std::vector<Pair> apart_pairs(const std::vector<mesh::Member>& members);

/// What those members that are in a plan say of their work in it. `members` are of the term.
std::map<mesh::DeviceId, Effort> efforts_of(const std::vector<mesh::Member>& members,
                                            const mesh::Term& term);

/// What a member announced; nothing when it cannot be decoded.
mesh::messages::Announcement announcement_of(const mesh::Member& member);

/// Every model of the cluster, by name. `loaded`: the one at work is the last.
mesh::messages::ModelsReply cluster_models(const std::vector<mesh::Member>& members,
                                           const std::vector<mesh::ModelHash>& loaded);

}  // namespace shoal
