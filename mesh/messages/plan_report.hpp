// What a model would do on the devices at hand, as `shoal plan MODEL` shows it. The daemon's
// planner::Report has the same members and says what they mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mesh/messages/slice.hpp"

namespace shoal::mesh::messages {

inline constexpr std::size_t kMaxPositions = 64;  ///< at which decoding is predicted

/// Where a token's seconds go.
struct PlanSeconds {
    double attention = 0, ffn = 0, lm_head = 0, between = 0, exchange = 0;
    bool operator==(const PlanSeconds&) const = default;
};

/// The best plan for one number of devices.
struct PlanCount {
    std::uint32_t devices = 0;
    bool fits = false, chosen = false;
    std::vector<double> decode;  ///< tokens/s at each of PlanReply::positions
    double prefill = 0;          ///< tokens/s
    double exchange = 0;         ///< part of a token's time
    std::uint64_t memory_bytes = 0;
    double redundant_kv_outputs = 0;
    double seconds = 0;  ///< of a request
    bool operator==(const PlanCount&) const = default;
};

/// A device in the plan shown, or why it has no part in it.
struct PlannedDevice {
    std::string name;
    bool takes_part = false, spare = false;
    Slice slice;
    std::uint64_t memory_bytes = 0;
    double part = 0;
    std::string reason;
    std::uint32_t row_share = 0;  ///< of long prompts' rows, where PlanReply::sharing_from is not 0
    std::uint64_t whole_bytes = 0;
    bool operator==(const PlannedDevice&) const = default;
};

struct PlannedLink {
    double exchange_seconds = 0, bytes_per_second = 0;
    bool operator==(const PlannedLink&) const = default;
};
struct PlannedLinks {
    std::uint32_t pairs = 0, measured = 0;
    PlannedLink usual, best, worst;
    bool operator==(const PlannedLinks&) const = default;
};

struct PlanReply {
    std::string model;
    std::uint64_t context = 0;
    std::vector<double> positions;
    std::uint32_t prompt = 0;
    std::uint32_t request_prompt = 0, request_answer = 0;
    std::uint32_t min_devices = 1;
    std::vector<PlanCount> counts;
    std::uint32_t shown = 0;
    std::vector<PlannedDevice> devices;
    PlanSeconds token;
    double sharing_kv = 0;
    PlannedLinks links;
    std::uint32_t sharing_from = 0;  ///< prompts of so many tokens are shared out by rows; 0: none
    bool overlap = false;            ///< large steps compute in two halves, in turns
    std::vector<std::string> beside, leaving;
    bool operator==(const PlanReply&) const = default;
};

}  // namespace shoal::mesh::messages
