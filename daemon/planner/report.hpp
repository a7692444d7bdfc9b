// What people read of a plan before it is made: speeds by number of devices, who takes what, why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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
    bool spare = false;  ///< it has no part because it would slow the others
    shard::Slice slice;
    std::uint64_t memory = 0;  ///< bytes that it takes
    double part = 0;           ///< of the model's weights
    std::string reason;        ///< why it takes no part
};

/// The links that plans are made by.
struct LinksReport {
    std::size_t pairs = 0, measured = 0;  ///< of devices; and those whose links are known
    Link usual;                           ///< of the others
    Link best, worst;                     ///< of all pairs: the least and the most of each figure
};

struct Report {
    std::string model;
    std::uint64_t context = 0;      ///< positions of KV cache
    std::vector<double> positions;  ///< in the cache when a token is decoded
    std::uint32_t prompt = 0;
    Request request;  ///< that plans are compared by
    std::size_t min_devices = 1;
    LinksReport links;
    std::vector<CountReport> counts;
    /// What follows is of the chosen plan, or of the best one for so many devices.
    std::size_t shown = 0;
    std::vector<DeviceReport> devices;
    std::optional<RowSharing> sharing;  ///< how the plan shares out long prompts by rows
    bool overlap = false;               ///< large steps compute in two halves, in turns
    Seconds token;                      ///< at the first of `positions`
    /// Exchanging K and V of shared heads instead of computing them more than once: seconds that a
    /// token would take longer (positive) or shorter by it; 0 where no head is shared.
    double sharing_kv = 0;
    /// Models that are in the devices' memory and stay there, and those that make room.
    std::vector<std::string> beside, leaving;
};

/// Shows the chosen plan, or the best one for `shown` devices. Throws shard::PlanError when the
/// model fits no choice of devices, or none of so many.
Report report(const model::GgufHeader& header, const model::Hparams& hparams,
              const Cluster& cluster, const Terms& terms, std::vector<double> positions,
              std::uint32_t prompt, std::size_t shown = 0);

}  // namespace shoal::planner
