// Cutting query heads among devices: the smallest longest share, counting the KV heads that
// each share must hold.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/shard/plan.hpp"

namespace shoal::shard {

struct HeadCost {
    double query;  ///< work of one query head (its rows of wq and columns of wo)
    double kv;     ///< work of one KV head held (its rows of wk and wv)
};

/// The KV heads that a range of query heads reads.
Range kv_heads_of(Range q_heads, std::uint32_t group) noexcept;

/// Contiguous ranges in rank order covering all heads. Cuts fall on KV-head boundaries unless
/// straddling one makes the longest share shorter. Among equals the evener cut wins.
/// Requires: speeds positive, n_heads % group == 0.
std::vector<Range> cut_heads(std::uint32_t n_heads, std::uint32_t group, HeadCost cost,
                             std::span<const double> speeds);

/// `units` dealt in proportion to the speeds, contiguous and in rank order.
std::vector<Range> cut_units(std::uint32_t units, std::span<const double> speeds);

}  // namespace shoal::shard
