// How much a device computes in a plan.
#pragma once

#include <atomic>
#include <cstdint>

namespace shoal {

/// A device's arithmetic in a plan so far, of the steps that are shared out as its slices are.
struct Effort {
    std::uint64_t steps = 0;
    double seconds = 0;  ///< between collectives, without waiting
    /// Collectives of any step, also in plans before: as long as it stays, nothing is computed.
    std::uint64_t exchanges = 0;
    bool in_step = false;  ///< a step that another device leads is not over, however long it takes
};

/// What a device computes in a plan: written by the thread that runs the steps, read by any.
struct EffortCounter {
    std::atomic<std::uint64_t> steps{0};
    std::atomic<std::uint64_t> nanoseconds{0};  ///< between a step's collectives
    std::atomic<std::uint64_t> exchanges{0};
    std::atomic<bool> in_step{false};
};

}  // namespace shoal
