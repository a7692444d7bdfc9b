// What this device can do: threads, speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "kernels/kernels.hpp"

namespace shoal {

/// The threads that compute.
struct Placement {
    std::uint32_t threads = 1;
    std::vector<std::uint32_t> cpus;     ///< worth taking, in this order
    std::vector<std::uint32_t> allowed;  ///< on which the threads are kept; empty: all
};

/// For a setting of device.threads, from what the system says now.
Placement place_threads(std::uint32_t threads);

std::string host_name();

/// Bytes of Q8_0 weights that the placement's threads multiply by a vector in a second, rounded.
/// Takes about two tenths of a second and speed_matrix_bytes of memory. Throws std::bad_alloc and
/// std::system_error (no thread).
double measure_speed(const kernels::Table& kernels, const Placement& placement);

/// "2026-11-29T16:40:00Z", now.
std::string utc_now();

/// To the nearest power of the square root of two: near-equal devices are then taken as equal, and
/// noise does not move work about.
double rounded_speed(double bytes_per_second);

/// Bytes of the matrix that the measurement multiplies: twice the largest cache, since a model's
/// weights come from memory, 16 to 128 MiB; but never more than an eighth of what is available.
std::uint64_t speed_matrix_bytes(std::uint64_t cache_bytes, std::uint64_t available);
/// The same of this device, now.
std::uint64_t speed_matrix_bytes_here();

/// The table of a configured instruction set; "auto" is the best one. Throws config::ConfigError,
/// which lists what this CPU has, when the name is unknown or the CPU lacks it.
const kernels::Table& choose_kernels(const std::string& cpu);

/// What `settings` choose on this CPU, for people and for programs. Throws as choose_kernels.
std::string cpu_text(const config::DeviceSettings& settings);
std::string cpu_json(const config::DeviceSettings& settings);

}  // namespace shoal
