// What this device does in a second: the products, attention and passes of daemon/exec, timed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>

#include "daemon/exec/thread_pool.hpp"
#include "daemon/planner/profile.hpp"
#include "kernels/kernels.hpp"

namespace shoal::measure {

/// What a measurement may take.
struct Limits {
    /// Of memory, about: of the matrix that one row meets, and of K and V. Larger than the caches,
    /// as a model's weights come from memory.
    std::uint64_t bytes = std::uint64_t{64} << 20;
    /// In all. A part runs twice at least, so slow devices take longer.
    std::chrono::milliseconds time{2500};
};

/// Parts of the measurement that are done, of how many.
using Progress = std::function<void(unsigned done, unsigned total)>;

/// The device's profile with these kernels on the pool's threads, which nobody else uses
/// meanwhile. Every rate is of the quickest pass. Nothing when a stop was requested.
/// Throws std::bad_alloc.
std::optional<planner::DeviceProfile> measure(const kernels::Table& kernels, exec::ThreadPool& pool,
                                              const Limits& limits, const std::stop_token& stop,
                                              const Progress& progress);

}  // namespace shoal::measure
