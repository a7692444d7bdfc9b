// Discovery, membership and election as one machine over abstract networks: everything of a node
// but sockets and clocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "mesh/discovery/beacon_link.hpp"
#include "mesh/discovery/discovery.hpp"
#include "mesh/membership/election.hpp"
#include "mesh/membership/membership.hpp"
#include "mesh/messages/warning.hpp"
#include "mesh/node.hpp"
#include "mesh/transport/transport.hpp"

namespace shoal::mesh {

using Time = std::chrono::steady_clock::time_point;

/// What a node's core is made of.
struct NodeCoreSettings {
    PublicKey public_key{};
    wire::BeaconKey beacon_key{};
    std::uint16_t control_port = 0;
    std::string address;  ///< our own, for members()
    DeviceDescription self;
    discovery::DiscoveryConfig discovery;
    membership::MembershipConfig membership;
    membership::ElectionConfig election;
    std::uint64_t stored_counter = 0;
};

/// Externally synchronised; callbacks come from poll(), describe() and leave(), and do not throw.
class NodeCore {
  public:
    using Random = discovery::Discovery::Random;

    /// What one poll() takes of datagrams, and of messages, before the others get their turn.
    static constexpr int kMaxBatch = 256;
    static constexpr std::size_t kMaxBatchBytes = std::size_t{4} << 20;

    /// The transport and the link outlive the core.
    NodeCore(NodeCoreSettings settings, transport::Transport& transport,
             discovery::BeaconLink& link, membership::Election::Persist persist, Random random,
             Node::Callbacks callbacks, Time now);

    /// Does all that is due. Takes at most kMaxBatch messages, and about kMaxBatchBytes of them, so
    /// that nobody can keep us here; then next_deadline() has passed.
    void poll(Time now);
    Time next_deadline() const;

    const DeviceId& self() const noexcept { return id_; }
    std::optional<DeviceId> root() const noexcept { return election_.root(); }
    Term term() const noexcept { return election_.term(); }
    std::vector<Member> members() const;
    [[nodiscard]] bool send(const DeviceId& to, std::span<const std::byte> bytes);
    void describe(DeviceDescription self, Time now);
    void leave(Time now);
    /// Leaves the cluster and goes on in that of another key: all members are lost.
    void enter(const wire::BeaconKey& key, Time now);
    /// As in Node.
    void set_keys(std::vector<wire::BeaconKey> keys, discovery::Discovery::IsKnown is_known,
                  Time now);
    void refuse(std::set<DeviceId> devices, Time now);
    /// What is wrong around this device, for a person.
    std::vector<messages::Warning> warnings(Time now) const;

    const discovery::DiscoveryCounters& discovery_counters() const noexcept {
        return discovery_.counters();
    }
    std::uint64_t malformed() const noexcept { return malformed_; }

  private:
    bool receive_beacons(Time now);
    bool receive_messages(Time now);
    void on_message(const transport::Incoming& incoming, Time now);
    void process(discovery::Discovery::Output& output, Time now);
    void process(membership::Actions& actions, Time now);
    void perform(const membership::Action& action, Time now);
    void perform(const membership::Connect& action, Time now);
    void perform(const membership::Disconnect& action, Time now);
    void perform(const membership::Send& action, Time now);
    void perform(const membership::Joined& action, Time now);
    void perform(const membership::Updated& action, Time now);
    void perform(const membership::Lost& action, Time now);
    void perform(const membership::Heard& action, Time now);
    void perform(const membership::Contact& action, Time now);
    void perform(const membership::Clash& action, Time now);
    void report_root(Time now);
    Member describe_member(const membership::Peer& peer) const;

    /// Processes with one device's key, of late.
    struct SeenClash {
        std::string member, other;  ///< hosts; the member is empty for ourselves
        Time at;
    };

    NodeCoreSettings settings_;
    DeviceId id_;
    transport::Transport& transport_;
    discovery::BeaconLink& link_;
    Random random_;
    std::uint64_t instance_;
    Node::Callbacks callbacks_;
    discovery::Discovery discovery_;
    membership::Membership membership_;
    membership::Election election_;
    std::set<DeviceId> joined_;  ///< whose joined() was called, so that lost() pairs with it
    std::map<DeviceId, SeenClash> clashes_;
    std::deque<membership::Action> pending_;
    bool performing_ = false;
    bool more_ = false;
    bool left_ = false;
    std::optional<DeviceId> reported_root_;
    Term reported_term_;
    std::uint64_t malformed_ = 0;
};

}  // namespace shoal::mesh
