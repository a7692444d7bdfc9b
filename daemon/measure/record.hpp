// A measurement as it is kept: what was measured, when, and under which conditions. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/planner/profile.hpp"

namespace shoal::measure {

/// What a profile depends on.
struct Conditions {
    std::string cpu;  ///< the model's name
    std::string isa;  ///< the kernels'
    std::uint32_t threads = 0;
    std::vector<std::uint32_t> cpus;  ///< their numbers, which the threads may run on
    std::uint64_t memory_total = 0;
    std::string version;  ///< of Shoal: another one may have other kernels

    /// The same device, as far as its speed goes: the kernel takes a little more or less of the
    /// memory for itself at each start.
    bool same_as(const Conditions& other) const noexcept;
    bool operator==(const Conditions&) const = default;
};

struct Record {
    planner::DeviceProfile profile;
    Conditions conditions;
    std::string date;  ///< UTC: "2026-11-29T16:40:00Z"
    bool operator==(const Record&) const = default;
};

/// JSON, on one line.
std::string to_text(const Record& record);
/// Throws std::runtime_error, which says what is wrong, when the text is no record of this format
/// or its profile is not plausible.
Record from_text(std::string_view text);

/// What the system calls this CPU, or the board; empty when it does not tell. `cpuinfo` is the text
/// of /proc/cpuinfo, `board` that of /proc/device-tree/model.
std::string cpu_model(std::string_view cpuinfo, std::string_view board);

}  // namespace shoal::measure
