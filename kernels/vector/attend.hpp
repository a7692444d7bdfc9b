// Attention of a tile of rows and heads over one block of positions.
//
// Every sum runs in an order that depends on neither the tile nor the width of the ISA: scores
// along the head, weighted values along the positions, weights in sixteen lanes. Tiles of heads
// only share the loads and conversions of K and V.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/attend_panels.hpp"
#include "kernels/vector/attend_scores.hpp"
#include "kernels/vector/attend_softmax.hpp"
#include "kernels/vector/attend_tiles.hpp"
#include "kernels/vector/attend_values.hpp"
#include "kernels/vector/elements.hpp"

namespace shoal::kernels::vector {
namespace {

/// Heads that read K and V straight from the block.
constexpr std::size_t kDirectHeads = 2 * kHeadTile;

/// See AttendTile. The heads of a call are those of its rows, one row after another.
template <class V, class Format>
inline void attend(const AttendTile& a) noexcept {
    Work w;
    w.heads = a.rows * a.group;
    w.longest = 0;
    for (std::size_t r = 0, h = 0; r < a.rows; ++r) {
        const std::size_t positions = a.positions[r];
        if (positions > w.longest) w.longest = positions;
        for (std::size_t g = 0; g < a.group; ++g, ++h) {
            w.q[h] = a.q + r * a.q_stride + g * a.head_dim;
            w.positions[h] = positions;
        }
    }
    // A panel pays when several register tiles read it.
    if constexpr (Format::kDirect) {
        using Element = typename Format::Element;
        if (w.heads <= kDirectHeads) {
            score_directly<V, Element>(a, w);
            find_maxima<V>(a, w);
            weigh<V>(a, w);
            const std::size_t whole = a.head_dim / V::kLanes * V::kLanes;
            add_values<V, Element>(a, w, {a.v, a.head_dim * Element::kBytes, a.next}, 0, whole);
            add_values_by_panels<V, Format>(a, w, whole);
            return;
        }
    }
    score_by_panels<V, Format>(a, w);
    find_maxima<V>(a, w);
    weigh<V>(a, w);
    add_values_by_panels<V, Format>(a, w, 0);
}

template <class V>
inline void attend_f32(const AttendTile& a) noexcept {
    attend<V, FloatFormat<V, F32<V>>>(a);
}

template <class V>
inline void attend_f16(const AttendTile& a) noexcept {
    attend<V, FloatFormat<V, F16<V>>>(a);
}

template <class V>
inline void attend_q8_0(const AttendTile& a) noexcept {
    attend<V, Q8Format<V>>(a);
}

}  // namespace
}  // namespace shoal::kernels::vector
