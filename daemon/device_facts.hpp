// What this device can do: memory, threads, speed.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/kernels.hpp"

namespace shoal {

struct Memory {
    std::uint64_t total = 0;
    std::uint64_t available = 0;
};

/// From /proc/meminfo, bounded by the cgroup's limit; zeros when unknown.
Memory read_memory();

std::string host_name();

/// Bytes of Q8_0 weights that `threads` threads multiply by a vector in a second, to the nearest
/// power of the square root of two: near-equal devices are then planned as equal, and noise does
/// not move work about. Takes about a tenth of a second.
double measure_speed(const kernels::Table& kernels, std::uint32_t threads);

/// The table of a configured instruction set; "auto" is the best one. Throws std::runtime_error
/// when the name is unknown or this CPU lacks it.
const kernels::Table& choose_kernels(const std::string& cpu);

}  // namespace shoal
