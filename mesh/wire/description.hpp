// What a device says of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace shoal::mesh {

/// What a device says of itself in every hello; opaque to membership but for `priority`, `speed`
/// and `memory_total`, which decide who is preferred as root.
/// Texts longer than the limits in mesh/wire/control.hpp are cut on the wire.
struct DeviceDescription {
    std::string name;  ///< host name or configured
    std::uint64_t memory_total = 0, memory_available = 0;
    std::uint32_t threads = 0;
    std::string cpu;  ///< chosen ISA
    std::string version;
    std::int32_t priority = 0;  ///< configured wish to be root; higher wins
    double speed = 0;           ///< measured weight bytes per second, 0 unknown
    std::string data_endpoint;  ///< where its data plane listens; host part may be empty
    /// (hash, name, bytes) of every model file held; content of the daemon's ModelInfo list
    std::vector<std::byte> models;  ///< encoded by the daemon; at most kMaxModelsBytes

    bool operator==(const DeviceDescription&) const = default;
};

}  // namespace shoal::mesh
