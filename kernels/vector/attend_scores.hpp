// Scores: products of queries with K, added up along the head. Neighbouring positions are
// neighbouring lanes, so nothing is added across lanes.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/attend_tiles.hpp"
#include "kernels/vector/elements.hpp"

namespace shoal::kernels::vector {
namespace {

/// q . k of G heads with N vectors of positions, over `dims` elements of the head.
template <class V, class Element, std::size_t G, std::size_t N>
inline void score_tile(const float* const* q, std::size_t first, std::size_t dims, Source k,
                       float* scores, bool resume) noexcept {
    using F = typename V::F;
    F acc[G][N];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            acc[g][n] = resume ? V::load(scores + g * kAttendChunk + n * V::kLanes) : V::zero();
        }
    }
    for (std::size_t i = 0; i < dims; ++i) {
        const std::byte* at = k.at + i * k.stride;
        if (k.ahead != nullptr) fetch_ahead<V, Element, N>(k, i);
        F keys[N];
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            keys[n] = Element::load(at + n * V::kLanes * Element::kBytes);
        }
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const F query = V::all(q[g][first + i]);
            SHOAL_UNROLL
            for (std::size_t n = 0; n < N; ++n) acc[g][n] = V::fma(query, keys[n], acc[g][n]);
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            V::store(scores + g * kAttendChunk + n * V::kLanes, acc[g][n]);
        }
    }
}

/// Scores of G heads with positions [0, count), a multiple of the lanes.
template <class V, class Element, std::size_t G, std::size_t N = V::attend_vectors(G)>
inline void score_positions(const float* const* q, std::size_t first, std::size_t dims, Source k,
                            float* scores, std::size_t count, bool resume) noexcept {
    constexpr std::size_t kWidth = N * V::kLanes;
    std::size_t p = 0;
    for (; p + kWidth <= count; p += kWidth) {
        score_tile<V, Element, G, N>(q, first, dims, k.from(p * Element::kBytes, dims), scores + p,
                                     resume);
    }
    if constexpr (N > 1) {
        if (p < count) {
            score_positions<V, Element, G, N / 2>(q, first, dims, k.from(p * Element::kBytes, dims),
                                                  scores + p, count - p, resume);
        }
    }
}

/// The most positions that one of G heads sees.
template <std::size_t G>
inline std::size_t most(const std::size_t* positions) noexcept {
    std::size_t n = positions[0];
    for (std::size_t g = 1; g < G; ++g) n = positions[g] > n ? positions[g] : n;
    return n;
}

/// Scores of all heads, K straight from the block.
template <class V, class Element>
inline void score_directly(const AttendTile& a, Work& w) noexcept {
    for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
        const std::byte* ahead = h == 0 ? a.v : nullptr;
        score_positions<V, Element, G>(w.q + h, 0, a.head_dim,
                                       {a.k, kAttendChunk * Element::kBytes, ahead}, w.rows[h],
                                       round_up(most<G>(w.positions + h), V::kLanes), false);
    });
}

/// Scores of all heads, K in panels that are converted once.
template <class V, class Format>
inline void score_by_panels(const AttendTile& a, Work& w) noexcept {
    const std::size_t longest = round_up(w.longest, V::kLanes);
    for (std::size_t p = 0; p < longest; p += kPanelPositions) {
        const std::size_t width = longest - p < kPanelPositions ? longest - p : kPanelPositions;
        for (std::size_t i = 0; i < a.head_dim; i += kPanelDims) {
            const std::size_t dims = a.head_dim - i < kPanelDims ? a.head_dim - i : kPanelDims;
            Format::keys(a, i, dims, p, width, w.panel);
            for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
                const std::size_t seen = round_up(most<G>(w.positions + h), V::kLanes);
                if (seen <= p) return;
                score_positions<V, F32<V>, G>(w.q + h, i, dims, source_of(w.panel, kPanelPositions),
                                              w.rows[h] + p, seen - p < width ? seen - p : width,
                                              i != 0);
            });
        }
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
