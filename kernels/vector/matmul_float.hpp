// F32, F16 and BF16 weights times f32 activations.
//
// Each (weight row, x row) adds along k in eight lanes for kChunk columns, then adds those lanes
// to its total: the same order in every tile. The second level keeps the rounding error of long
// rows near that of short ones.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/elements.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// Columns of a first-level sum: 32 steps of eight lanes.
constexpr std::size_t kChunk = 256;
constexpr std::size_t kLine = 64;  // bytes that one prefetch brings in

template <class V, class Element, std::size_t R, std::size_t C>
struct FloatTile {
    using F = typename V::F;
    const std::byte* w[R];
    const float* x[C];
    F total[R][C];
    /// Bytes to the weights that the next tile reads at the same columns; 0 when this tile's are
    /// in the cache already, so that nothing is fetched ahead.
    std::size_t ahead;

    void chunk(std::size_t begin, std::size_t end) noexcept {
        F acc[R][C];
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) acc[r][c] = V::zero();
        }
        std::size_t k = begin;
        for (; k + 8 <= end; k += 8) {
            if (ahead != 0 && k * Element::kBytes % kLine == 0) prefetch(k);
            F weights[R];
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                weights[r] = Element::load(w[r] + k * Element::kBytes);
            }
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                const F inputs = V::load(x[c] + k);
                SHOAL_UNROLL
                for (std::size_t r = 0; r < R; ++r) {
                    acc[r][c] = V::fma(weights[r], inputs, acc[r][c]);
                }
            }
        }
        if (k < end) rest(k, end - k, acc);
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) total[r][c] = V::add(total[r][c], acc[r][c]);
        }
    }

    void prefetch(std::size_t k) const noexcept {
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            __builtin_prefetch(w[r] + ahead + k * Element::kBytes);
        }
    }

    /// The last columns of a row, fewer than eight: lanes beyond them are zero.
    void rest(std::size_t k, std::size_t n, F (&acc)[R][C]) noexcept {
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const F weights = Element::load_first(w[r] + k * Element::kBytes, n);
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                acc[r][c] = V::fma(weights, V::load_first(x[c] + k, n), acc[r][c]);
            }
        }
    }
};

template <class V, class Element>
struct FloatKernel {
    static constexpr std::size_t kOutputs = V::kFloatOutputs;
    static constexpr std::size_t kPanelBytes = V::kPanelBytes;

    template <std::size_t R, std::size_t C>
    static void tile(const Matmul& m, std::size_t out, std::size_t row, bool fresh) noexcept {
        FloatTile<V, Element, R, C> t;
        t.ahead = fresh ? R * m.w_stride : 0;
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) t.w[r] = m.w + (out + r) * m.w_stride;
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const void* at = static_cast<const std::byte*>(m.x) + (row + c) * m.x_stride;
            t.x[c] = static_cast<const float*>(at);
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) t.total[r][c] = V::zero();
        }
        for (std::size_t k = 0; k < m.cols; k += kChunk) {
            t.chunk(k, m.cols - k < kChunk ? m.cols : k + kChunk);
        }
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                m.y[(row + c) * m.y_stride + out + r] = V::sum(t.total[r][c]);
            }
        }
    }
};

template <class V, class Element>
inline void matmul_float(const Matmul& m) noexcept {
    run<FloatKernel<V, Element>>(m);
}

}  // namespace
}  // namespace shoal::kernels::vector
