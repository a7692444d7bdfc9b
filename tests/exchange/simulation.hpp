// A plan from its join to its end by a seed: devices in lock-step on a virtual network that loses,
// delays, repeats and reorders frames and cuts connections, while devices compute, leave or crash.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "mesh/exchange/stats.hpp"
#include "tests/exchange/virtual_network.hpp"

namespace shoal::mesh::testing {

/// What happened in some simulations.
struct Coverage {
    std::uint64_t plans = 0, finished = 0, collectives = 0;
    std::array<std::uint64_t, 4> kinds{};  ///< collectives, by Collective::Kind
    std::array<std::uint64_t, 5> waits{};  ///< steps that ended in a wait, by Lockstep::Goal
    std::array<std::uint64_t, 3> ends{};   ///< devices, by ExchangeStatus
    std::uint64_t left = 0, crashed = 0, stopped = 0;
    DataPlaneStats stats;
    NetworkCounts network;

    void add(const Coverage& other);
    /// A name and a number for each thing that should have happened.
    std::vector<std::pair<std::string, std::uint64_t>> table() const;
};

/// Runs the plan of `seed`. Throws std::runtime_error, with the seed, when a device got other bytes
/// than were sent, when some finished the plan and others did not, or when it failed or was slow
/// without a reason.
Coverage simulate(std::uint64_t seed);

}  // namespace shoal::mesh::testing
