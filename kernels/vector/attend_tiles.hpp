// What the steps of attention share: the heads of a call and what is kept for each, how they are
// cut into register tiles, and where K and V are read.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// Heads of a register tile.
constexpr std::size_t kHeadTile = 6;
/// Part of a block as f32, read by all heads of the call: 32 KiB, which fit the first-level cache
/// of all but the smallest cores. K: (kPanelDims, kPanelPositions), V: (kAttendChunk,
/// kPanelColumns).
constexpr std::size_t kPanelPositions = 64;
constexpr std::size_t kPanelDims = 128;
constexpr std::size_t kPanelColumns = 64;
constexpr std::size_t kPanelFloats = 8192;
static_assert(kPanelDims * kPanelPositions == kPanelFloats);
static_assert(kAttendChunk * kPanelColumns == kPanelFloats);

/// What the heads of a call keep beside their state.
struct alignas(64) Work {
    float rows[kMaxTileHeads][kAttendChunk];  // scores, then weights
    float panel[kPanelFloats];
    float factors[kMaxTileHeads];  // by which older sums shrink
    const float* q[kMaxTileHeads];
    std::size_t positions[kMaxTileHeads];
    std::size_t heads;
    std::size_t longest;  // of positions
};

constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit * unit;
}

/// A matrix of elements in memory, and what will be read after it.
struct Source {
    const std::byte* at;
    std::size_t stride;      // bytes from one row to the next
    const std::byte* ahead;  // null: nothing is to be fetched

    /// From a column on; what lies ahead moves by the elements that were read before it.
    Source from(std::size_t column_bytes, std::size_t rows) const noexcept {
        return {at + column_bytes, stride,
                ahead == nullptr ? nullptr : ahead + column_bytes * rows};
    }
};

inline Source source_of(const float* at, std::size_t stride) noexcept {
    return {reinterpret_cast<const std::byte*>(at), stride * sizeof(float), nullptr};
}

/// To the second-level cache: K and V of a block together may be more than the first one holds.
inline void fetch(const std::byte* at) noexcept {
    __builtin_prefetch(at, 0, 2);
}

/// Fetches as much from ahead as a tile of N vectors reads in row i: K is as large as V, so when
/// one has been read the other has been asked for. A core's own prefetcher starts anew in each
/// block and page, which halves the speed of a decoding row.
template <class V, class Element, std::size_t N>
inline void fetch_ahead(const Source& source, std::size_t i) noexcept {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kBytes = N * V::kLanes * Element::kBytes;
    const std::byte* at = source.ahead + i * kBytes;
    SHOAL_UNROLL
    for (std::size_t b = 0; b < kBytes; b += kLine) fetch(at + b);
}

/// Calls fn.template operator()<G>(first head) for tiles of even size that cover all heads.
template <class Fn>
inline void for_head_tiles(std::size_t heads, Fn&& fn) noexcept {
    const std::size_t tiles = (heads + kHeadTile - 1) / kHeadTile;
    std::size_t head = 0;
    for (std::size_t t = 1; t <= tiles; ++t) {
        const std::size_t end = heads * t / tiles;
        switch (end - head) {
            case 1:
                fn.template operator()<1>(head);
                break;
            case 2:
                fn.template operator()<2>(head);
                break;
            case 3:
                fn.template operator()<3>(head);
                break;
            case 4:
                fn.template operator()<4>(head);
                break;
            case 5:
                fn.template operator()<5>(head);
                break;
            default:
                fn.template operator()<6>(head);
                break;
        }
        head = end;
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
