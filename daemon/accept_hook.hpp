// Puts a gate before the connections that libzmq accepts, and a bound to what it reads of them. It
// has no limit of its own: it gathers the parts of a message as long as any come, and aborts when a
// connection to a socket in the file system meets a full table of descriptors.
#pragma once

#include <cstdint>

#include "mesh/transport/accept_gate.hpp"

namespace shoal {

/// Thread-safe. The executable's accept(), accept4() and recv(), which accept_hook.cpp defines,
/// come before the C library's, for libzmq as well: an executable that is not linked with that file
/// has none of this. Listeners that are not guarded are left alone, and so are their connections.
class AcceptHook {
  public:
    /// From now on connections to this TCP port are bounded.
    static void guard_port(std::uint16_t port, const mesh::transport::GateLimits& limits);
    /// The listener is closed; another one that has its port later is left alone.
    static void leave_port(std::uint16_t port);
    /// And those to sockets in the file system, where a source is a process.
    static void guard_local(const mesh::transport::GateLimits& limits);
    /// Connections that were closed or refused for a limit since the start.
    static std::uint64_t refused() noexcept;
};

}  // namespace shoal
