// Formats of K and V in the cache, and how parts of a block become panels of f32.
//
// A format has kDirect, which says that tiles may read the block itself, as Elements, and two
// functions that fill a panel: keys() with (dims, positions) of K, values() with (positions,
// columns) of V.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/attend_tiles.hpp"
#include "kernels/vector/elements.hpp"

namespace shoal::kernels::vector {
namespace {

/// K and V that are stored as floats of some width.
template <class V, class E>
struct FloatFormat {
    using Element = E;
    static constexpr bool kDirect = true;

    static void keys(const AttendTile& a, std::size_t dim, std::size_t dims, std::size_t position,
                     std::size_t count, float* panel) noexcept {
        for (std::size_t i = 0; i < dims; ++i, panel += kPanelPositions) {
            const std::byte* at = a.k + ((dim + i) * kAttendChunk + position) * E::kBytes;
            for (std::size_t p = 0; p < count; p += V::kLanes) {
                V::store(panel + p, E::load(at + p * E::kBytes));
            }
        }
    }

    static void values(const AttendTile& a, std::size_t positions, std::size_t column,
                       std::size_t count, float* panel) noexcept {
        for (std::size_t p = 0; p < positions; ++p, panel += kPanelColumns) {
            const std::byte* at = a.v + (p * a.head_dim + column) * E::kBytes;
            std::size_t c = 0;
            for (; c + V::kLanes <= count; c += V::kLanes) {
                V::store(panel + c, E::load(at + c * E::kBytes));
            }
            if (c < count) V::store(panel + c, E::load_first(at + c * E::kBytes, count - c));
        }
    }
};

/// K and V of KvType::q8_0. Scale times integer has 18 significant bits: f32 holds it exactly.
template <class V>
struct Q8Format {
    static constexpr bool kDirect = false;
    static constexpr std::size_t kScale = kKvScaleElements;

    static void keys(const AttendTile& a, std::size_t dim, std::size_t dims, std::size_t position,
                     std::size_t count, float* panel) noexcept {
        const std::byte* scales = a.k + a.head_dim * kAttendChunk;
        for (std::size_t i = 0; i < dims; i += kScale) {
            const std::byte* scale_row =
                scales + ((dim + i) / kScale * kAttendChunk + position) * 2;
            // As much of V as this reads of K.
            const std::byte* ahead = a.v + position * a.head_dim + (dim + i) * kPanelPositions;
            for (std::size_t j = 0; j < kScale; ++j) fetch(ahead + j * kPanelPositions);
            for (std::size_t p = 0; p < count; p += V::kLanes) {
                const auto scale = V::load_f16(scale_row + p * 2);
                const std::byte* at = a.k + (dim + i) * kAttendChunk + position + p;
                for (std::size_t j = 0; j < kScale; ++j) {
                    V::store(panel + (i + j) * kPanelPositions + p,
                             V::mul(V::load_s8(at + j * kAttendChunk), scale));
                }
            }
        }
    }

    static void values(const AttendTile& a, std::size_t positions, std::size_t column,
                       std::size_t count, float* panel) noexcept {
        const std::byte* scales = a.v + a.head_dim * kAttendChunk;
        for (std::size_t p = 0; p < positions; ++p, panel += kPanelColumns) {
            const std::byte* at = a.v + p * a.head_dim + column;
            const std::byte* scale_at = scales + (p * a.head_dim + column) / kScale * 2;
            if (a.next != nullptr) fetch(a.next + column * kAttendChunk + p * kPanelColumns);
            for (std::size_t c = 0; c < count; c += kScale, scale_at += 2) {
                const auto scale = V::all_f16(scale_at);
                SHOAL_UNROLL
                for (std::size_t j = 0; j < kScale; j += V::kLanes) {
                    V::store(panel + c + j, V::mul(V::load_s8(at + c + j), scale));
                }
            }
        }
    }
};

}  // namespace
}  // namespace shoal::kernels::vector
