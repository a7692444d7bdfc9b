// From scores to weights: the running maximum of each head, and the sum of its weights.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/attend_tiles.hpp"
#include "kernels/vector/exp.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// Lanes in which weights are summed up.
constexpr std::size_t kSumLanes = 16;

/// The new maxima, and the factors that they mean for older sums.
template <class V>
inline void find_maxima(const AttendTile& a, Work& w) noexcept {
    for (std::size_t h = 0; h < w.heads; ++h) {
        float* row = w.rows[h];
        for (std::size_t p = w.positions[h]; p % kSumLanes != 0; ++p) row[p] = -__builtin_inff();
        auto lanes = V::all(-__builtin_inff());
        for (std::size_t p = 0; p < w.positions[h]; p += V::kLanes) {
            // Passes over NaNs, which then show in the weights.
            lanes = V::max_number(V::load(row + p), lanes);
        }
        const float here = V::max(lanes);
        const float old = a.max[h];
        a.max[h] = here > old ? here : old;
        w.factors[h] = (old - a.max[h]) * a.scale;
    }
    for (std::size_t h = w.heads; h % V::kLanes != 0; ++h) w.factors[h] = 0;
    for (std::size_t h = 0; h < w.heads; h += V::kLanes) {
        V::store(w.factors + h, exp2_nonpositive<V>(V::load(w.factors + h)));
    }
}

/// Turns scores into weights and adds them up. Lanes beyond the last position become zero.
template <class V>
inline void weigh(const AttendTile& a, Work& w) noexcept {
    using F = typename V::F;
    constexpr std::size_t kParts = kSumLanes / V::kLanes;
    const F scale = V::all(a.scale);
    for (std::size_t h = 0; h < w.heads; ++h) {
        const F max = V::all(a.max[h]);
        F sums[kParts];
        for (std::size_t j = 0; j < kParts; ++j) sums[j] = V::zero();
        for (std::size_t p = 0; p < w.positions[h]; p += kSumLanes) {
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kParts; ++j) {
                float* at = w.rows[h] + p + j * V::kLanes;
                const F weight = exp2_nonpositive<V>(V::mul(V::sub(V::load(at), max), scale));
                V::store(at, weight);
                sums[j] = V::add(sums[j], weight);
            }
        }
        F all = sums[0];
        for (std::size_t j = 1; j < kParts; ++j) all = V::add(all, sums[j]);
        a.sum[h] = a.sum[h] * w.factors[h] + V::sum(all);
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
