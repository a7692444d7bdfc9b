// How many descriptors the process has, and how many of them connections may take.
#pragma once

#include <chrono>
#include <cstddef>

#include "mesh/transport/accept_gate.hpp"

namespace shoal {

/// Descriptors that the daemon asks for at most: what 256 devices and full limits of HTTP and
/// clients come to, with room to spare.
inline constexpr std::size_t kMostDescriptors = 65536;

/// Raises the limit of open descriptors as far as the system lets this process, up to
/// kMostDescriptors; the limit then in force.
std::size_t raise_descriptor_limit() noexcept;

/// For each of the two listeners of the mesh. A stranger's connection is closed when its handshake
/// takes longer than `handshake`.
mesh::transport::GateLimits mesh_limits(std::size_t descriptors,
                                        std::chrono::milliseconds handshake) noexcept;
/// For the listener that devices with an invitation call, whose keys nobody knows.
mesh::transport::GateLimits stranger_limits(std::size_t descriptors) noexcept;
/// For the control socket, where a source is a process. All of them together leave the larger part
/// of the descriptors to the daemon's own files and connections.
mesh::transport::GateLimits client_limits(std::size_t descriptors) noexcept;

}  // namespace shoal
