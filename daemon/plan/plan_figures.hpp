// What is counted of a root's plans.
#pragma once

#include <array>
#include <cstdint>

namespace shoal {

/// Why a plan is made, or goes on.
enum class PlanCause : std::uint8_t {
    first,    ///< of this root
    model,    ///< another one is asked for, or this one was unloaded
    turn,     ///< of a model that stayed in memory: its plan goes on
    devices,  ///< others than before can take part
    lost,     ///< a device of the plan before was
    failure,  ///< of the plan before
    files,    ///< a device has the model's file by now
    speeds,   ///< devices compute otherwise than they measured
    links,    ///< were measured
    rules,    ///< are other ones
};
inline constexpr std::array kPlanCauses = {"first",   "model", "turn",   "devices", "lost",
                                           "failure", "files", "speeds", "links",   "rules"};

struct PlanFigures {
    std::array<std::uint64_t, kPlanCauses.size()> made{};  ///< by PlanCause
    double loading_seconds = 0;  ///< of the latest that came to run; 0: none did
};

}  // namespace shoal
