// Whom a listener lets in while nothing is known of him but his address: a pure policy, without
// sockets or a clock.
#pragma once

#include <sys/socket.h>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace shoal::mesh::transport {

/// Who connects, as far as limits go: an IPv4 address, an IPv6 network of 64 bits (one subscriber
/// has that many addresses), a link-local IPv6 address, or a local process.
using Source = std::array<std::uint8_t, 16>;

/// Requires: an address of family AF_INET or AF_INET6.
Source source_of(const sockaddr_storage& address) noexcept;
Source source_of_process(pid_t process) noexcept;

struct GateLimits {
    std::size_t total = 0;       ///< connections
    std::size_t unproven = 0;    ///< of them, those open for less than `proof`
    std::size_t per_source = 0;  ///< of the unproven, those from one source
    /// The listener closes whoever has not proved its key before this; who is still there has.
    std::chrono::milliseconds proof{0};
    /// What is read of one connection in all its life; 0: whatever comes. For listeners where
    /// everything that is right is short, and libzmq gathers a message of any number of parts.
    std::uint64_t bytes = 0;
};

/// Strangers can fill the places of the unproven, and of these only so many from one address;
/// whoever was let in by its key counts in `total` alone. When the places of a source, or all, are
/// taken, the oldest connection that never said a word goes, so that who merely holds connections
/// keeps nobody out; when each has said something, the newcomer is refused.
///
/// Connections end without a word to the gate: it looks whether one is still open when it matters.
/// Externally synchronised.
class AcceptGate {
  public:
    using Time = std::chrono::steady_clock::time_point;
    struct Connection {
        int descriptor = -1;
        std::uint64_t number =
            0;  ///< of the socket (inode): the descriptor may be another's by now
        Source source{};
        Time since;
    };
    /// What the gate asks of the system.
    struct Probe {
        std::function<bool(const Connection&)> is_open;
        std::function<bool(const Connection&)> is_silent;  ///< nothing has come from it
    };
    struct Verdict {
        bool admitted = false;
        std::optional<Connection> closed;  ///< to be shut, to make room
    };

    AcceptGate(const GateLimits& limits, Probe probe) : limits_(limits), probe_(std::move(probe)) {}

    Verdict arrive(const Connection& connection);
    std::size_t size() const noexcept { return connections_.size(); }

  private:
    bool is_unproven(const Connection& c, Time now) const noexcept {
        return now - c.since < limits_.proof;
    }
    /// Those of the source, or of anybody, that are open and unproven; forgets closed ones.
    std::vector<Connection> unproven(const Source* source, Time now);

    const GateLimits limits_;
    const Probe probe_;
    std::vector<Connection> connections_;  // oldest first
};

}  // namespace shoal::mesh::transport
