// What is wrong somewhere in the cluster, in words for a person and a name for a program. One list
// serves the log, `shoal status`, /v1/cluster and /health.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace shoal::mesh::messages {

/// Warnings that one device says of itself and of others.
inline constexpr std::size_t kMaxWarnings = 64;
inline constexpr std::size_t kMaxWarningText = 512;

enum class Severity : std::uint8_t {
    notice = 1,   ///< all works, and somebody may want to know
    warning = 2,  ///< something works worse than it could
    error = 3,    ///< something does not work
};

/// A warning is known by its name and device: a second one with both replaces the first.
struct Warning {
    std::string name;  ///< lasting, for programs: "disk-full"
    Severity severity = Severity::warning;
    std::string device;  ///< id (hex) of the device concerned; empty: the cluster
    std::string text;    ///< what and where
    std::string remedy;  ///< what to do; empty: it passes by itself

    bool operator==(const Warning&) const = default;
};

/// "notice", "warning", "error".
const char* name(Severity severity) noexcept;

}  // namespace shoal::mesh::messages
