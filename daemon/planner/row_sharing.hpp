// How long prompts are shared out by rows among the devices of a plan. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "daemon/planner/profile.hpp"
#include "daemon/planner/work.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::planner {

/// Who takes how many rows of a sequence-parallel step through whole layers, in rank order.
struct RowSharing {
    std::vector<std::uint32_t> shares;       ///< 0: none. Not all 0
    std::vector<std::uint64_t> whole_bytes;  ///< of memory for whole layers
    std::uint32_t from = 0;                  ///< prompts of so many tokens and more
    bool operator==(const RowSharing&) const = default;
};

/// What sharing out rows takes of a device, besides its slice.
struct RowTerms {
    /// Bytes of buffers of a rank.
    std::function<std::uint64_t(std::span<const shard::Slice>,
                                std::span<const std::uint32_t> shares, std::size_t rank)>
        buffers;
    /// Also by devices that must read layers anew for each step, and for prompts of any length.
    bool always = false;
};

/// By the speed of each device with many rows. A share have those with the model's file and memory
/// for its layers; nothing when nobody can, or some device has no memory for its buffers.
/// `left`: bytes that each device has besides its slice. The caller decides RowSharing::from.
std::optional<RowSharing> share_rows(const ModelWork& work, const Cluster& cluster,
                                     std::span<const std::size_t> members,
                                     std::span<const shard::Slice> slices,
                                     std::span<const std::uint64_t> left,
                                     const shard::LayerBytes& layers, const RowTerms& terms);

}  // namespace shoal::planner
