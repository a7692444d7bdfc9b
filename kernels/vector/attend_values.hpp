// Values: V weighted, added up in the order of positions. Neighbouring columns are neighbouring
// lanes.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/attend_tiles.hpp"
#include "kernels/vector/elements.hpp"

namespace shoal::kernels::vector {
namespace {

/// acc = factor * acc + weighted sum of V over positions [begin, end), for G heads and N vectors
/// of columns, one position after another.
template <class V, class Element, std::size_t G, std::size_t N>
inline void value_tile(const float* weights, const float* factors, std::size_t begin,
                       std::size_t end, Source v, float* out, std::size_t head_dim) noexcept {
    using F = typename V::F;
    F acc[G][N];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        const F factor = V::all(factors[g]);
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            acc[g][n] = V::mul(V::load(out + g * head_dim + n * V::kLanes), factor);
        }
    }
    for (std::size_t p = begin; p < end; ++p) {
        const std::byte* at = v.at + p * v.stride;
        if (v.ahead != nullptr) fetch_ahead<V, Element, N>(v, p);
        F values[N];
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            values[n] = Element::load(at + n * V::kLanes * Element::kBytes);
        }
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const F weight = V::all(weights[g * kAttendChunk + p]);
            SHOAL_UNROLL
            for (std::size_t n = 0; n < N; ++n) acc[g][n] = V::fma(weight, values[n], acc[g][n]);
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            V::store(out + g * head_dim + n * V::kLanes, acc[g][n]);
        }
    }
}

/// Weighted sums of G heads for columns [0, count), a multiple of the lanes.
template <class V, class Element, std::size_t G, std::size_t N = V::attend_vectors(G)>
inline void value_columns(const float* weights, const float* factors, std::size_t begin,
                          std::size_t end, Source v, float* out, std::size_t head_dim,
                          std::size_t count) noexcept {
    constexpr std::size_t kWidth = N * V::kLanes;
    std::size_t c = 0;
    for (; c + kWidth <= count; c += kWidth) {
        value_tile<V, Element, G, N>(weights, factors, begin, end,
                                     v.from(c * Element::kBytes, kAttendChunk), out + c, head_dim);
    }
    if constexpr (N > 1) {
        if (c < count) {
            value_columns<V, Element, G, N / 2>(weights, factors, begin, end,
                                                v.from(c * Element::kBytes, kAttendChunk), out + c,
                                                head_dim, count - c);
        }
    }
}

/// The last columns of a head, fewer than the lanes; V as f32 with whole vectors in memory.
template <class V>
inline void value_rest(const float* weights, float factor, std::size_t positions, Source v,
                       float* out, std::size_t count) noexcept {
    auto acc = V::mul(V::load_first(out, count), V::all(factor));
    for (std::size_t p = 0; p < positions; ++p) {
        acc = V::fma(V::all(weights[p]), F32<V>::load(v.at + p * v.stride), acc);
    }
    V::store_first(out, acc, count);
}

template <std::size_t G>
inline std::size_t least(const std::size_t* positions) noexcept {
    std::size_t n = positions[0];
    for (std::size_t g = 1; g < G; ++g) n = positions[g] < n ? positions[g] : n;
    return n;
}

/// Weighted sums of all heads over columns [column, column + count) of V. Positions that all
/// heads of a tile see go together; a head alone goes on where the others must not look.
template <class V, class Element>
inline void add_values(const AttendTile& a, const Work& w, Source v, std::size_t column,
                       std::size_t count) noexcept {
    // v.ahead is for the first tile alone.
    static constexpr float kOne = 1.0f;
    for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
        const std::size_t common = least<G>(w.positions + h);
        float* out = a.acc + h * a.head_dim + column;
        value_columns<V, Element, G>(w.rows[h], w.factors + h, 0, common, v, out, a.head_dim,
                                     count);
        v.ahead = nullptr;
        for (std::size_t g = 0; g < G; ++g) {
            const std::size_t own = w.positions[h + g];
            if (own == common) continue;
            value_columns<V, Element, 1>(w.rows[h + g], &kOne, common, own, v, out + g * a.head_dim,
                                         a.head_dim, count);
        }
    });
}

/// Columns from `column` on, V in panels that are converted once.
template <class V, class Format>
inline void add_values_by_panels(const AttendTile& a, Work& w, std::size_t column) noexcept {
    for (; column < a.head_dim; column += kPanelColumns) {
        const std::size_t left = a.head_dim - column;
        const std::size_t width = left < kPanelColumns ? left : kPanelColumns;
        const std::size_t whole = width / V::kLanes * V::kLanes;
        Format::values(a, w.longest, column, width, w.panel);
        if (whole != 0) {
            add_values<V, F32<V>>(a, w, source_of(w.panel, kPanelColumns), column, whole);
        }
        if (whole == width) continue;
        for (std::size_t h = 0; h < w.heads; ++h) {
            value_rest<V>(w.rows[h], w.factors[h], w.positions[h],
                          source_of(w.panel + whole, kPanelColumns),
                          a.acc + h * a.head_dim + column + whole, width - whole);
        }
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
