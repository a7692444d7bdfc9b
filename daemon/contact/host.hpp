// This device lets others in: its invitations, and the door that is open as long as there are any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/cluster_admin.hpp"
#include "daemon/requests/log_limit.hpp"
#include "mesh/discovery/cluster_key.hpp"
#include "mesh/joining/invitations.hpp"
#include "mesh/joining/join_door.hpp"

namespace shoal {

/// Owned by the control thread.
class Host {
  public:
    struct Links {
        std::function<std::string()> name;  ///< this device's, for those that join
        std::string bind;                   ///< the address to listen at, or "*"
        std::function<mesh::ClusterKey()> key;
        /// That device gets the key now.
        std::function<void(const mesh::DeviceId&)> admitted;
        /// Where others reach this device.
        std::function<std::vector<std::string>()> addresses;
        /// A TCP port that strangers may connect to is open from now on, or no more.
        std::function<void(std::uint16_t port, bool open)> guard;
        std::function<void(mesh::messages::Warning)> warn;
        std::function<void(const std::string& name)> unwarn;
    };

    Host(mesh::ZmqContext& context, Links links);
    ~Host();

    void invite(const ClusterAdmin::Told& told);
    /// What was invited into the old cluster is not let into the new one.
    void close();

    // As ControlLoop::Source has them.
    std::vector<int> descriptors() const;
    Loop::Time next_deadline() const;
    void poll();

  private:
    void hear(const mesh::joining::JoinDoor::Caller& caller, Loop::Time now);
    mesh::joining::JoinFrame answer(const mesh::joining::JoinDoor::Caller& caller, Loop::Time now);
    mesh::joining::JoinFrame let_in(const mesh::joining::JoinDoor::Caller& caller,
                                    const mesh::joining::Knock& knock, bool first);

    mesh::ZmqContext& context_;
    const Links links_;
    std::unique_ptr<mesh::joining::Invitations> invitations_;
    std::unique_ptr<mesh::joining::JoinDoor> door_;
    bool more_ = false;
    LogLimit complaints_;
};

}  // namespace shoal
