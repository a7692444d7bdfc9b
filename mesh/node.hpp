// This device as a member of its cluster: discovery, trust, control channel, membership, election.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh {

struct Identity;      // mesh/transport/identity_store.hpp: the CURVE key pair, DeviceId
struct ClusterKey;    // mesh/discovery/cluster_key.hpp: the 32-byte secret and keys derived from it
class ZmqContext;     // mesh/transport/zmq_context.hpp: zmq context + ZAP handler + allow-list

/// What a device says of itself in every hello; opaque to membership but for `priority`,
/// `capability` and the time stamps.
struct DeviceDescription {
    std::string name;                 ///< host name or configured
    std::uint64_t memory_total = 0, memory_available = 0;
    std::uint32_t threads = 0;
    std::string cpu;                  ///< chosen ISA
    std::string version;
    std::int32_t priority = 0;        ///< configured wish to be root; higher wins
    double speed = 0;                 ///< measured weight bytes per second, 0 unknown
    std::string data_endpoint;        ///< where its data plane listens; host part may be empty
    /// (hash, name, bytes) of every model file held; content of the daemon's ModelInfo list
    std::vector<std::byte> models;    ///< encoded by the daemon
};

struct Member {
    DeviceId id;
    std::array<std::uint8_t, 32> public_key{};
    DeviceDescription description;
    std::string address;              ///< IP as seen by us
    std::chrono::microseconds round_trip{-1};
};

struct NodeConfig {
    std::string bind = "*";           ///< address of the control socket
    std::uint16_t port = 0;           ///< 0: any free
    std::uint16_t beacon_port = 47474;
    bool multicast = true;            ///< beacons on every real interface
    std::vector<std::string> peers;   ///< static peers "host" or "host:beacon_port"
    std::vector<std::string> interfaces;  ///< only these; empty: every real one
    std::chrono::milliseconds heartbeat{500};
    std::chrono::milliseconds suspect_after{2000};
    std::chrono::milliseconds dead_after{4000};
    std::string state_dir;            ///< term counter and keys
};

/// Owned by the daemon's control thread; every call and callback happens there.
class Node {
  public:
    struct Callbacks {
        std::function<void(const Member&)> joined;
        std::function<void(const Member&)> updated;   ///< description changed
        std::function<void(const DeviceId&)> lost;
        /// A root was elected (maybe us) or, with nothing, lost.
        std::function<void(std::optional<DeviceId> root, Term term)> root_changed;
        /// An application message from an authenticated member.
        std::function<void(const DeviceId& from, std::span<const std::byte> bytes)> message;
    };

    /// Throws std::runtime_error (nested, with address and port) when a socket cannot be bound.
    static std::unique_ptr<Node> start(ZmqContext& context, const Identity& identity,
                                       const ClusterKey& key, NodeConfig config,
                                       DeviceDescription self, Callbacks callbacks);
    virtual ~Node() = default;

    /// File descriptors to poll for reading, and when poll() must be called at the latest.
    virtual std::vector<int> descriptors() const = 0;
    virtual std::chrono::steady_clock::time_point next_deadline() const = 0;
    /// Do all work that is due; never blocks.
    virtual void poll() = 0;

    virtual const DeviceId& self() const noexcept = 0;
    virtual std::optional<DeviceId> root() const noexcept = 0;
    virtual Term term() const noexcept = 0;
    /// Everyone alive, ourselves first.
    virtual std::vector<Member> members() const = 0;
    /// False when there is no such member or its queue is full.
    [[nodiscard]] virtual bool send(const DeviceId& to, std::span<const std::byte> bytes) = 0;
    /// Change what we say of ourselves; travels with the next heartbeat, at once when it matters.
    virtual void describe(DeviceDescription self) = 0;
    /// Tell the others that we leave.
    virtual void leave() noexcept = 0;
};

}  // namespace shoal::mesh
