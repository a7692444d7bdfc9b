// This device as a member of its cluster: discovery, trust, control channel, membership, election.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mesh/mesh.hpp"

namespace shoal::mesh {

struct Identity;    // mesh/transport/identity_store.hpp: the CURVE key pair, DeviceId
struct ClusterKey;  // mesh/discovery/cluster_key.hpp: the 32-byte secret and keys derived from it
class ZmqContext;   // mesh/transport/zmq_context.hpp: zmq context + ZAP handler + allow-list

struct NodeConfig {
    std::string bind = "*";  ///< address of the control socket
    std::uint16_t port = 0;  ///< 0: any free
    std::uint16_t beacon_port = 47474;
    bool multicast = true;                ///< beacons on every real interface
    std::vector<std::string> peers;       ///< static peers "host" or "host:beacon_port"
    std::vector<std::string> interfaces;  ///< only these; empty: every real one
    std::chrono::milliseconds heartbeat{500};
    std::chrono::milliseconds suspect_after{2000};
    std::chrono::milliseconds dead_after{4000};
    std::string state_dir;  ///< term counter and keys
};

/// The mesh on real sockets. Owned by the daemon's control thread; every call and callback happens
/// there.
class Node : public Mesh {
  public:
    struct Callbacks {
        std::function<void(const Member&)> joined;
        std::function<void(const Member&)> updated;  ///< description, term or suspicion changed
        std::function<void(const DeviceId&)> lost;
        /// A root was elected (maybe us) or, with nothing, lost. Terms rise, but for one case: a
        /// device that led only itself and meets a cluster adopts the cluster's term, even a lower
        /// one. So compare terms for equality.
        std::function<void(std::optional<DeviceId> root, Term term)> root_changed;
        /// An application message from an authenticated member. Between joined() and lost(), those
        /// up to wire::kSmallMessageBytes come in order and without gaps, and so do larger ones;
        /// a small one may overtake a large one. When messages were lost, lost() is called, and
        /// joined() again.
        std::function<void(const DeviceId& from, std::span<const std::byte> bytes)> message;
    };

    /// `context` outlives the node. Callbacks may call every function of the node
    /// but its destructor, and do not throw.
    /// Throws std::runtime_error (nested, with address and port) when a socket cannot be bound, or
    /// with the path when the term counter cannot be read.
    static std::unique_ptr<Node> start(ZmqContext& context, const Identity& identity,
                                       const ClusterKey& key, NodeConfig config,
                                       DeviceDescription self, Callbacks callbacks);

    /// File descriptors to poll for reading, and when poll() must be called at the latest. Both
    /// change with every call of any function; ask again before each wait. Some descriptors are
    /// edge-triggered: when one is readable, or after send(), call poll() before the next wait.
    virtual std::vector<int> descriptors() const = 0;
    virtual std::chrono::steady_clock::time_point next_deadline() const = 0;
    /// Do all work that is due; never blocks.
    virtual void poll() = 0;

    /// The TCP port of the control socket.
    virtual std::uint16_t port() const noexcept = 0;
    /// Leaves the cluster and goes on in that of `key`, on the same sockets: all members are lost,
    /// and a root that is another device with them.
    virtual void enter(const ClusterKey& key) = 0;
    /// Other keys of this cluster, the first of them the present one; under the others devices are
    /// found of which `is_known` says that they belong to it. Members stay.
    virtual void set_keys(const std::vector<ClusterKey>& keys,
                          std::function<bool(const PublicKey&)> is_known) = 0;
    /// Those are no members any more, and do not become any, until others are named in their place.
    virtual void refuse(std::set<DeviceId> devices) = 0;
    /// Tell the others that we leave.
    virtual void leave() noexcept = 0;
};

}  // namespace shoal::mesh
