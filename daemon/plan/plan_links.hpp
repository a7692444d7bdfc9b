// What the root's part asks of the daemon around it.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/engine/effort.hpp"
#include "daemon/engine/generation.hpp"
#include "daemon/plan/plan_figures.hpp"
#include "daemon/plan/situation.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/node.hpp"

namespace shoal {

/// The cluster as its root sees it at a moment.
struct Cluster {
    std::vector<mesh::Member> followers;  ///< those that adopted our term, ourselves first
    std::vector<Pair> apart;              ///< of these, where one does not see the other
    bool settled = false;                 ///< all that are alive follow us, and none are apart
    KnownLinks links{};                   ///< between devices, as far as they were measured
};

/// Why a device should not lead. One that fails may still be better than one without the memory for
/// a root's part, which cannot lead at all.
enum class Unfit { failing, too_small };

/// Called on the control thread. What is sent may come back as an event of PlanRoot, later.
class PlanLinks {
  public:
    virtual ~PlanLinks() = default;

    virtual mesh::DeviceId self() const = 0;
    virtual Cluster cluster() const = 0;
    /// What people call a device, also one that was lost.
    virtual std::string name(const mesh::DeviceId& device) const = 0;
    /// The members, this device too, that have the file of a model.
    virtual std::set<mesh::DeviceId> holders(const mesh::ModelHash& model) const = 0;
    /// In how many steps of which plan devices take part, or did last, as they announced it.
    virtual std::map<mesh::DeviceId, Effort> efforts() const = 0;

    /// What cannot be sent is lost with its receiver: membership tells.
    virtual void send(const mesh::DeviceId& to, const mesh::messages::PlanMessage& message) = 0;
    /// A job's next event; nothing comes after a final one.
    virtual void emit(JobId job, const mesh::messages::Event& event) = 0;
    /// Whom plans go on without, and why, whenever that changes; nothing when we lead no more.
    virtual void left_out(const LeftOutDevices& devices) = 0;
    /// Devices that are so many times slower than they said, whenever that changes.
    virtual void slow(const std::map<mesh::DeviceId, double>& devices) = 0;
    /// A plan was made, and later runs. To be counted.
    virtual void planned(PlanCause cause) = 0;
    virtual void plan_runs(std::chrono::duration<double> loading) = 0;
    /// This device cannot do a root's part; another one should lead.
    virtual void abdicate(Unfit why, const std::string& reason) = 0;
};

}  // namespace shoal
