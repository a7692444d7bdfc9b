// How much a device computes in a plan.
#pragma once

#include <atomic>
#include <cstdint>

#include "mesh/wire/identity.hpp"

namespace shoal {

/// A device's arithmetic in a plan so far, since it was loaded: also in its turns before. Of the
/// steps that are shared out as its slices are.
struct Effort {
    std::uint64_t steps = 0;
    double seconds = 0;  ///< between collectives, without waiting
    /// Collectives of any step, also in plans before: as long as it stays, nothing is computed.
    std::uint64_t exchanges = 0;
    bool in_step = false;  ///< a step that another device leads is not over, however long it takes
    // Since the start, of every plan of several devices and any step:
    std::uint64_t all_steps = 0;
    std::uint64_t collectives = 0;  ///< but for orders, which members await for as long as it takes
    double collective_seconds = 0;  ///< in these
    mesh::PlanId plan{};            ///< whose `steps` and `seconds` these are
};

/// What a device computes in a plan: written by the thread that runs the steps, read by any.
struct EffortCounter {
    std::atomic<std::uint64_t> steps{0};
    std::atomic<std::uint64_t> nanoseconds{0};  ///< between a step's collectives
    std::atomic<std::uint64_t> exchanges{0};
    std::atomic<bool> in_step{false};
    std::atomic<std::uint64_t> all_steps{0}, collectives{0}, collective_nanoseconds{0};
};

}  // namespace shoal
