// What people read of a plan before it is made: speeds by number of devices, who takes what, why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/planner/choose.hpp"

namespace shoal::planner {

/// The best plan for one number of devices.
struct CountReport {
    std::size_t devices = 0;
    bool fits = false;  ///< the model fits some choice of so many; else all else is 0
    bool chosen = false;
    std::vector<double> decode;  ///< tokens/s at each of Report::positions
    double prefill = 0;          ///< tokens/s of a prompt of Report::prompt tokens
    double exchange = 0;         ///< part of a token's time that is not arithmetic, at the first
    std::uint64_t memory = 0;    ///< bytes on the device that takes most
    double redundant_kv_outputs = 0;  ///< of K, and as many of V, that a device computes besides
    double seconds = 0;               ///< of Terms::request
};

/// A device in the chosen plan, or why it has no part.
struct DeviceReport {
    std::string name;
    bool takes_part = false;
    shard::Slice slice;
    std::uint64_t memory = 0;  ///< bytes that it takes
    double part = 0;           ///< of the model's weights
    std::string reason;        ///< why it takes no part
};

struct Report {
    std::vector<double> positions;  ///< in the cache when a token is decoded
    std::uint32_t prompt = 0;
    std::vector<CountReport> counts;
    std::vector<DeviceReport> devices;
    Seconds token;  ///< of the chosen plan, at the first of `positions`
    /// Exchanging K and V of shared heads instead of computing them more than once: seconds that a
    /// token would take longer (positive) or shorter by it; 0 where no head is shared.
    double sharing_kv = 0;
};

/// Throws shard::PlanError when the model fits no choice of devices.
Report report(const model::GgufHeader& header, const model::Hparams& hparams,
              const Cluster& cluster, const Terms& terms, std::vector<double> positions,
              std::uint32_t prompt);

}  // namespace shoal::planner
