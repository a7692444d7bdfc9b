// A transport of the data plane: it listens for the life of the daemon, and opens a port per plan.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>

#include "mesh/exchange/lockstep.hpp"
#include "mesh/exchange/port.hpp"
#include "mesh/exchange/stats.hpp"

namespace shoal::mesh::exchange {

/// What every transport asks of its connections, see PROTOCOL-data.md.
/// Frames that wait for one peer: lock-step keeps far below it, and nothing is dropped silently.
inline constexpr std::size_t kQueueFrames = 1000;
/// Connections within a plan are re-made fast: a step waits for them.
inline constexpr std::chrono::milliseconds kReconnect{2}, kReconnectAtMost{100};
/// Subscribers send the publisher subscriptions and nothing else.
inline constexpr std::size_t kMaxSubscriptionBytes = 4096;
/// A connection whose other end vanished without a word is given up after these seconds.
inline constexpr int kKeepAliveIdle = 2, kKeepAliveInterval = 1, kKeepAliveCount = 3;
inline constexpr int kUnacknowledgedMs = 5000;

/// A plan names an endpoint that is none.
class BadEndpoint : public std::runtime_error {
  public:
    BadEndpoint(std::uint32_t r, const std::string& what) : std::runtime_error(what), rank(r) {}
    std::uint32_t rank;
};

/// Externally synchronised. Outlives its ports; one exists at a time.
class PortMaker {
  public:
    virtual ~PortMaker() = default;
    /// Where it listens.
    virtual std::uint16_t port() const noexcept = 0;
    /// "zmtp".
    virtual std::string name() const = 0;
    /// How long a caller should look() before it waits: another thread that carries the frames
    /// needs the core itself.
    virtual std::chrono::microseconds spin() const noexcept { return {}; }
    /// Begins to connect to the devices of the plan. `stats` outlives the port.
    /// Throws BadEndpoint.
    virtual std::unique_ptr<WaitingPort> open(const Place& place, DataPlaneStats& stats,
                                              std::stop_token stop) = 0;
};

}  // namespace shoal::mesh::exchange
