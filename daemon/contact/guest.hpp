// This device joins a cluster by an invitation.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/cluster_admin.hpp"
#include "mesh/discovery/cluster_key.hpp"
#include "mesh/joining/join_call.hpp"

namespace shoal {

/// One joining at a time. Owned by the control thread.
class Guest {
  public:
    struct Links {
        std::function<std::string()> name;  ///< this device's, for the inviter
        /// Stores the key and goes into its cluster. Throws std::runtime_error when it cannot be
        /// stored; nothing has changed then.
        std::function<void(const mesh::ClusterKey&)> enter;
        std::function<mesh::ClusterKey()> key;  ///< of the cluster that it is in
        /// Whether that device is a member now.
        std::function<bool(const mesh::DeviceId&)> sees;
        /// The answer about the cluster as it is now.
        std::function<mesh::messages::ClusterReply()> cluster;
    };

    Guest(Loop& loop, mesh::ZmqContext& context, Links links);

    void join(const std::string& line, ClusterAdmin::Told told);
    void stop() noexcept;

    // As ControlLoop::Source has them.
    std::vector<int> descriptors() const;
    Loop::Time next_deadline() const;
    void poll();

  private:
    struct Running {
        mesh::joining::Invitation invitation;
        ClusterAdmin::Told told;
        std::unique_ptr<mesh::joining::JoinCall> call;  // null: it is in, and looks for the inviter
        Loop::Time until{};
        Timer look{};
    };

    void be_welcome(const mesh::joining::Welcome& welcome);
    void look_for_inviter();
    void fail(mesh::messages::ErrorCode code, std::string why);
    void finish(const mesh::messages::Event& event);

    Loop& loop_;
    mesh::ZmqContext& context_;
    const Links links_;
    std::optional<Running> running_;
};

}  // namespace shoal
