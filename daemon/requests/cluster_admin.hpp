// What changes who is in the cluster, and tells who is: a port of the core.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "mesh/mesh.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// For the control thread, on which what is given to it is called.
class ClusterAdmin {
  public:
    using Told = std::function<void(const mesh::messages::Event&)>;

    virtual ~ClusterAdmin() = default;

    /// Whether a request is one for ask().
    static bool is_concerned(const mesh::messages::Request& request) noexcept {
        using namespace mesh::messages;
        return std::holds_alternative<InviteRequest>(request) ||
               std::holds_alternative<JoinRequest>(request) ||
               std::holds_alternative<LeaveRequest>(request) ||
               std::holds_alternative<DevicesRequest>(request) ||
               std::holds_alternative<RenameRequest>(request) ||
               std::holds_alternative<ForgetRequest>(request);
    }

    /// Does it: progress, then one final event, perhaps before this returns.
    virtual void ask(const mesh::messages::Request& request, Told told) = 0;
    // What the mesh tells; see mesh::Node::Callbacks.
    virtual void on_joined(const mesh::Member& member) = 0;
    virtual void on_updated(const mesh::Member& member) = 0;
    virtual void on_lost(const mesh::DeviceId& id) = 0;
    /// A frame of mesh/messages/devices.hpp, from a member.
    virtual void on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes) = 0;
    /// Whoever asked to join does not want it any more; nothing is told him.
    virtual void stop_joining() noexcept = 0;
};

}  // namespace shoal
