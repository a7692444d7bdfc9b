// Attention over one chunk of positions.
//
// Each head's scores, weights and sums are computed in an order that does not depend on the other
// heads of the call; tiles of heads only share the loads of K and V.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/elements.hpp"
#include "kernels/vector/exp.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// Scores, then weights, of one head.
using Row = float[kAttendChunk];

/// q . k of G heads with P positions: eight lanes along the head, added at the end.
template <class V, class Element, std::size_t G, std::size_t P>
inline void score_tile(const AttendChunk& a, std::size_t head, std::size_t position,
                       Row* rows) noexcept {
    using F = typename V::F;
    const float* q = a.q + head * a.head_dim;
    const std::byte* k = a.k + position * a.kv_stride;
    F acc[G][P];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) acc[g][p] = V::zero();
    }
    const auto step = [&](auto load_q, auto load_k) noexcept {
        F queries[G];
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) queries[g] = load_q(q + g * a.head_dim);
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) {
            const F key = load_k(k + p * a.kv_stride);
            SHOAL_UNROLL
            for (std::size_t g = 0; g < G; ++g) {
                acc[g][p] = V::fma(queries[g], key, acc[g][p]);
            }
        }
    };
    std::size_t i = 0;
    for (; i + 8 <= a.head_dim; i += 8) {
        step([i](const float* at) noexcept { return V::load(at + i); },
             [i](const std::byte* at) noexcept { return Element::load(at + i * Element::kBytes); });
    }
    if (i < a.head_dim) {
        const std::size_t n = a.head_dim - i;
        step([i, n](const float* at) noexcept { return V::load_first(at + i, n); },
             [i, n](const std::byte* at) noexcept {
                 return Element::load_first(at + i * Element::kBytes, n);
             });
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) {
            rows[g][position + p] = V::sum(acc[g][p]) * a.scale;
        }
    }
}

/// Turns scores into weights; sets max and sum. Lanes beyond the last position become zero.
template <class V>
inline void weigh(Row& row, std::size_t positions, float& max_out, float& sum_out) noexcept {
    for (std::size_t p = positions; p % 8 != 0; ++p) row[p] = -__builtin_inff();
    auto lanes = V::all(-__builtin_inff());
    for (std::size_t p = 0; p < positions; p += 8) {
        // Passes over NaNs, which then show in the weights.
        lanes = V::max_number(V::load(row + p), lanes);
    }
    const float max = V::max(lanes);
    auto sum = V::zero();
    for (std::size_t p = 0; p < positions; p += 8) {
        const auto weight = exp_nonpositive<V>(V::sub(V::load(row + p), V::all(max)));
        V::store(row + p, weight);
        sum = V::add(sum, weight);
    }
    max_out = max;
    sum_out = V::sum(sum);
}

/// Weighted sums of V for G heads and N vectors of columns, one position after another.
template <class V, class Element, std::size_t G, std::size_t N>
inline void value_tile(const AttendChunk& a, std::size_t head, std::size_t column,
                       const Row* rows) noexcept {
    using F = typename V::F;
    F acc[G][N];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t v = 0; v < N; ++v) acc[g][v] = V::zero();
    }
    const std::byte* at = a.v + column * Element::kBytes;
    for (std::size_t p = 0; p < a.positions; ++p, at += a.kv_stride) {
        F values[N];
        SHOAL_UNROLL
        for (std::size_t v = 0; v < N; ++v) values[v] = Element::load(at + 8 * v * Element::kBytes);
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const F weight = V::all(rows[g][p]);
            SHOAL_UNROLL
            for (std::size_t v = 0; v < N; ++v) {
                acc[g][v] = V::fma(weight, values[v], acc[g][v]);
            }
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        float* out = a.acc + (head + g) * a.head_dim + column;
        SHOAL_UNROLL
        for (std::size_t v = 0; v < N; ++v) V::store(out + 8 * v, acc[g][v]);
    }
}

/// The last columns of a head, fewer than eight.
template <class V, class Element>
inline void value_rest(const AttendChunk& a, std::size_t head, std::size_t column,
                       const Row& row) noexcept {
    using F = typename V::F;
    const std::size_t n = a.head_dim - column;
    const std::byte* at = a.v + column * Element::kBytes;
    F acc = V::zero();
    for (std::size_t p = 0; p < a.positions; ++p, at += a.kv_stride) {
        acc = V::fma(V::all(row[p]), Element::load_first(at, n), acc);
    }
    V::store_first(a.acc + head * a.head_dim + column, acc, n);
}

template <class V, class Element, std::size_t G>
inline void attend_heads(const AttendChunk& a, std::size_t head) noexcept {
    // Eight independent sums hide the latency of FMA.
    constexpr std::size_t kPositions = G == 1 ? 8 : G == 2 ? 4 : 2;
    alignas(32) Row rows[G];
    std::size_t p = 0;
    for (; p + kPositions <= a.positions; p += kPositions) {
        score_tile<V, Element, G, kPositions>(a, head, p, rows);
    }
    for (; p < a.positions; ++p) score_tile<V, Element, G, 1>(a, head, p, rows);
    for (std::size_t g = 0; g < G; ++g) {
        weigh<V>(rows[g], a.positions, a.max[head + g], a.sum[head + g]);
    }
    constexpr std::size_t kVectors = G == 1 ? 8 : G == 2 ? 4 : 2;
    std::size_t column = 0;
    for (; column + 8 * kVectors <= a.head_dim; column += 8 * kVectors) {
        value_tile<V, Element, G, kVectors>(a, head, column, rows);
    }
    for (; column + 8 <= a.head_dim; column += 8)
        value_tile<V, Element, G, 1>(a, head, column, rows);
    if (column < a.head_dim) {
        for (std::size_t g = 0; g < G; ++g) value_rest<V, Element>(a, head + g, column, rows[g]);
    }
}

template <class V, class Element>
inline void attend(const AttendChunk& a) noexcept {
    std::size_t head = 0;
    for (; head + 4 <= a.group; head += 4) attend_heads<V, Element, 4>(a, head);
    for (; head + 2 <= a.group; head += 2) attend_heads<V, Element, 2>(a, head);
    for (; head < a.group; ++head) attend_heads<V, Element, 1>(a, head);
}

}  // namespace
}  // namespace shoal::kernels::vector
