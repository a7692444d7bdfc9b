// Cutting query heads, FFN columns and vocabulary rows among devices: the smallest longest share.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "daemon/shard/slice.hpp"

namespace shoal::shard {

inline constexpr double kNoLimit = std::numeric_limits<double>::infinity();

/// What a share of the heads takes on one device, and the most that it may hold.
struct HeadShare {
    double query = 1;         ///< time for one query head
    double kv = 0;            ///< time for one KV head held
    double bytes = kNoLimit;  ///< at most so many, with the costs of HeadBytes
};
struct HeadBytes {
    double query = 0, kv = 0;  ///< of one head held
};

/// The KV heads that a range of query heads reads.
Range kv_heads_of(Range q_heads, std::uint32_t group) noexcept;

/// Contiguous ranges in rank order covering all heads, so that the longest share is shortest; KV
/// heads that two devices hold count for both. Cuts fall on KV-head boundaries unless straddling
/// one makes the longest share shorter. Among equals the evener cut wins. Nothing when the limits
/// leave no cut. Requires: query times positive, n_heads % group == 0.
std::optional<std::vector<Range>> cut_heads(std::uint32_t n_heads, std::uint32_t group,
                                            HeadBytes bytes, std::span<const HeadShare> shares);

/// What a share of equal units takes on one device.
struct UnitShare {
    double time = 1;  ///< for one unit; positive
    std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
};

/// Contiguous ranges in rank order covering all units, so that the longest share is shortest.
/// Nothing when the limits leave no cut.
std::optional<std::vector<Range>> cut_units(std::uint32_t units, std::span<const UnitShare> shares);

}  // namespace shoal::shard
