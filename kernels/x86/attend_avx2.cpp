// Attention over one chunk of positions, with AVX2.
//
// Each head's scores, weights and sums are computed in an order that does not depend on the other
// heads of the call; tiles of heads only share the loads of K and V.
#include "kernels/unroll.hpp"
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// Scores, then weights, of one head.
using Row = float[kAttendChunk];

/// q . k of G heads with P positions: eight lanes along the head, added at the end.
template <class Element, std::size_t G, std::size_t P>
void score_tile(const AttendChunk& a, std::size_t head, std::size_t position, Row* rows) noexcept {
    const float* q = a.q + head * a.head_dim;
    const std::byte* k = a.k + position * a.kv_stride;
    __m256 acc[G][P];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) acc[g][p] = _mm256_setzero_ps();
    }
    const auto step = [&](auto load_q, auto load_k) noexcept {
        __m256 queries[G];
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) queries[g] = load_q(q + g * a.head_dim);
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) {
            const __m256 key = load_k(k + p * a.kv_stride);
            SHOAL_UNROLL
            for (std::size_t g = 0; g < G; ++g) {
                acc[g][p] = _mm256_fmadd_ps(queries[g], key, acc[g][p]);
            }
        }
    };
    std::size_t i = 0;
    for (; i + 8 <= a.head_dim; i += 8) {
        step([i](const float* at) noexcept { return F32::load(at + i); },
             [i](const std::byte* at) noexcept { return Element::load(at + i * Element::kBytes); });
    }
    if (i < a.head_dim) {
        const std::size_t n = a.head_dim - i;
        step([i, n](const float* at) noexcept { return F32::load_first(at + i, n); },
             [i, n](const std::byte* at) noexcept {
                 return Element::load_first(at + i * Element::kBytes, n);
             });
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < P; ++p) {
            rows[g][position + p] = sum_lanes(acc[g][p]) * a.scale;
        }
    }
}

/// Turns scores into weights; sets max and sum. Lanes beyond the last position become zero.
void weigh(Row& row, std::size_t positions, float& max_out, float& sum_out) noexcept {
    const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
    for (std::size_t p = positions; p % 8 != 0; ++p) row[p] = -__builtin_inff();
    __m256 max = lowest;
    for (std::size_t p = 0; p < positions; p += 8) {
        // This operand order passes over NaNs, which then show in the weights.
        max = _mm256_max_ps(F32::load(row + p), max);
    }
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    max = _mm256_broadcastss_ps(m);
    __m256 sum = _mm256_setzero_ps();
    for (std::size_t p = 0; p < positions; p += 8) {
        const __m256 weight = exp_nonpositive(_mm256_sub_ps(F32::load(row + p), max));
        _mm256_storeu_ps(row + p, weight);
        sum = _mm256_add_ps(sum, weight);
    }
    max_out = _mm_cvtss_f32(m);
    sum_out = sum_lanes(sum);
}

/// Weighted sums of V for G heads and `V` vectors of columns, one position after another.
template <class Element, std::size_t G, std::size_t V>
void value_tile(const AttendChunk& a, std::size_t head, std::size_t column,
                const Row* rows) noexcept {
    __m256 acc[G][V];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t v = 0; v < V; ++v) acc[g][v] = _mm256_setzero_ps();
    }
    const std::byte* at = a.v + column * Element::kBytes;
    for (std::size_t p = 0; p < a.positions; ++p, at += a.kv_stride) {
        __m256 values[V];
        SHOAL_UNROLL
        for (std::size_t v = 0; v < V; ++v) values[v] = Element::load(at + 8 * v * Element::kBytes);
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const __m256 weight = _mm256_broadcast_ss(&rows[g][p]);
            SHOAL_UNROLL
            for (std::size_t v = 0; v < V; ++v) {
                acc[g][v] = _mm256_fmadd_ps(weight, values[v], acc[g][v]);
            }
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        float* out = a.acc + (head + g) * a.head_dim + column;
        SHOAL_UNROLL
        for (std::size_t v = 0; v < V; ++v) _mm256_storeu_ps(out + 8 * v, acc[g][v]);
    }
}

/// The last columns of a head, fewer than eight.
template <class Element>
void value_rest(const AttendChunk& a, std::size_t head, std::size_t column,
                const Row& row) noexcept {
    const std::size_t n = a.head_dim - column;
    const std::byte* at = a.v + column * Element::kBytes;
    __m256 acc = _mm256_setzero_ps();
    for (std::size_t p = 0; p < a.positions; ++p, at += a.kv_stride) {
        acc = _mm256_fmadd_ps(_mm256_broadcast_ss(row + p), Element::load_first(at, n), acc);
    }
    _mm256_maskstore_ps(a.acc + head * a.head_dim + column, first_lanes(n), acc);
}

template <class Element, std::size_t G>
void attend_heads(const AttendChunk& a, std::size_t head) noexcept {
    // Eight independent sums hide the latency of FMA.
    constexpr std::size_t kPositions = G == 1 ? 8 : G == 2 ? 4 : 2;
    alignas(32) Row rows[G];
    std::size_t p = 0;
    for (; p + kPositions <= a.positions; p += kPositions) {
        score_tile<Element, G, kPositions>(a, head, p, rows);
    }
    for (; p < a.positions; ++p) score_tile<Element, G, 1>(a, head, p, rows);
    for (std::size_t g = 0; g < G; ++g) {
        weigh(rows[g], a.positions, a.max[head + g], a.sum[head + g]);
    }
    constexpr std::size_t kVectors = G == 1 ? 8 : G == 2 ? 4 : 2;
    std::size_t column = 0;
    for (; column + 8 * kVectors <= a.head_dim; column += 8 * kVectors) {
        value_tile<Element, G, kVectors>(a, head, column, rows);
    }
    for (; column + 8 <= a.head_dim; column += 8) value_tile<Element, G, 1>(a, head, column, rows);
    if (column < a.head_dim) {
        for (std::size_t g = 0; g < G; ++g) value_rest<Element>(a, head + g, column, rows[g]);
    }
}

template <class Element>
void attend(const AttendChunk& a) noexcept {
    std::size_t head = 0;
    for (; head + 4 <= a.group; head += 4) attend_heads<Element, 4>(a, head);
    for (; head + 2 <= a.group; head += 2) attend_heads<Element, 2>(a, head);
    for (; head < a.group; ++head) attend_heads<Element, 1>(a, head);
}

}  // namespace

void attend_f32(const AttendChunk& chunk) noexcept {
    attend<F32>(chunk);
}
void attend_f16(const AttendChunk& chunk) noexcept {
    attend<F16>(chunk);
}

}  // namespace shoal::kernels::x86
