// Who should be root.
#pragma once

#include <cstdint>

#include "mesh/wire/description.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::membership {

/// What an election knows of a device.
struct Candidate {
    DeviceId id;
    std::int32_t priority = 0;
    std::uint64_t memory = 0;  ///< bytes
    double speed = 0;          ///< weight bytes per second
};

Candidate candidate_of(const DeviceId& id, const DeviceDescription& description) noexcept;

/// True when `a` should rather be root than `b`: higher configured priority, then the larger
/// class of memory (a power of two, so that two boards of one kind do not differ by a few pages),
/// then speed, then the higher id. A strict total order over devices with different ids.
bool is_preferred(const Candidate& a, const Candidate& b) noexcept;

}  // namespace shoal::mesh::membership
