// Devices that a test makes plans for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/plan/situation.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests {

inline Candidate candidate(std::uint8_t number) {
    Candidate out;
    out.member.id = device_id(number);
    out.name = "device " + std::to_string(number);
    out.member.description.name = out.name;
    out.member.description.speed = 1;
    out.profile = planner::DeviceProfile::guess(1);
    return out;
}

/// Devices 1 to `count`.
inline std::vector<Candidate> candidates(std::uint8_t count) {
    std::vector<Candidate> out;
    for (std::uint8_t n = 1; n <= count; ++n) out.push_back(candidate(n));
    return out;
}

inline Pair apart(std::uint8_t one, std::uint8_t other) {
    return {device_id(one), device_id(other)};
}

}  // namespace shoal::tests
