// Products of floats where rows of x are many: weights are widened to f32 once, into the
// first-level cache, and meet the rows of x there.
//
// A vector holds the eight lanes of as many weight rows as it has room for, and meets eight columns
// of x in all of them. So each sum runs in the eight lanes and chunks of matmul_float.hpp and has
// its bits, whatever the width of the vectors.
#pragma once

#include <string.h>

#include "kernels/kernels.hpp"
#include "kernels/vector/matmul_float.hpp"

namespace shoal::kernels::vector {
namespace {

/// Weight rows that are widened together: 256 columns of them are 16 KiB. Rows of x come from the
/// second-level cache once for all of them.
constexpr std::size_t kBlockOutputs = 16;
/// Rows of x that a block of weights meets at a time; their totals are 48 KiB.
constexpr std::size_t kBlockRows = 96;

/// N: the eight lanes that Elements are read in, V: the vectors that multiply.
template <class N, class V, class Element>
struct FloatBlock {
    static constexpr std::size_t kStep = N::kLanes;
    static constexpr std::size_t kVectors = V::kFloatVectors;
    static constexpr std::size_t kRows = V::kFloatRows;
    /// Weight rows of a tile, and tiles of a block.
    static constexpr std::size_t kTileOutputs = kVectors * V::kLanes / kStep;
    static constexpr std::size_t kTiles = kBlockOutputs / kTileOutputs;
    static_assert(kTiles * kTileOutputs == kBlockOutputs);
    static constexpr std::size_t kSums = kVectors * V::kLanes;

    const Matmul& m;
    alignas(64) float weights[kTiles][kChunk / kStep][kTileOutputs][kStep];
    alignas(64) float totals[kTiles][kBlockRows][kTileOutputs][kStep];

    explicit FloatBlock(const Matmul& matmul) noexcept : m(matmul) {}

    static const std::byte* bytes(const float* at) noexcept {
        return reinterpret_cast<const std::byte*>(at);
    }

    const float* x(std::size_t row) const noexcept {
        const void* at = static_cast<const std::byte*>(m.x) + row * m.x_stride;
        return static_cast<const float*>(at);
    }

    /// Outputs [out, out + n) of rows [begin, end) of x.
    void multiply(std::size_t out, std::size_t n, std::size_t begin, std::size_t end) noexcept {
        for (auto& tile : totals) memset(tile, 0, (end - begin) * sizeof tile[0]);
        for (std::size_t k = 0; k < m.cols; k += kChunk) {
            const std::size_t cols = m.cols - k < kChunk ? m.cols - k : kChunk;
            widen(out, n, k, cols);
            const std::size_t tiles = (end - begin + kRows - 1) / kRows;
            std::size_t row = begin;
            for (std::size_t t = 1; t <= tiles; ++t) {
                const std::size_t next = begin + (end - begin) * t / tiles;
                fetch(out + n, k, cols, (t - 1) * n / tiles, t * n / tiles);
                add_rows<kRows>(row, next - row, begin, k, cols);
                row = next;
            }
        }
        for (std::size_t r = begin; r < end; ++r) {
            for (std::size_t o = 0; o < n; ++o) {
                const float* total = totals[o / kTileOutputs][r - begin][o % kTileOutputs];
                m.y[r * m.y_stride + out + o] = N::sum(N::load(total));
            }
        }
    }

    /// Columns [k, k + cols) of n weight rows from `out` on; rows and columns beyond are zero.
    void widen(std::size_t out, std::size_t n, std::size_t k, std::size_t cols) noexcept {
        if (n < kBlockOutputs) memset(weights, 0, sizeof weights);
        for (std::size_t o = 0; o < n; ++o) {
            const std::byte* at = m.w + (out + o) * m.w_stride + k * Element::kBytes;
            float* to = weights[o / kTileOutputs][0][o % kTileOutputs];
            std::size_t i = 0;
            for (; i + kStep <= cols; i += kStep, to += kSums) {
                N::store(to, Element::load(at + i * Element::kBytes));
            }
            if (i < cols) N::store(to, Element::load_first(at + i * Element::kBytes, cols - i));
        }
    }

    /// Asks for rows [first, last) of the weights that come next.
    void fetch(std::size_t out, std::size_t k, std::size_t cols, std::size_t first,
               std::size_t last) const noexcept {
        for (std::size_t o = first; o < last; ++o) {
            const std::byte* at = m.w + (out + o) * m.w_stride + k * Element::kBytes;
            for (std::size_t b = 0; b < cols * Element::kBytes; b += kLine) {
                __builtin_prefetch(at + b, 0, 2);
            }
        }
    }

    /// Rows [row, row + n) of x, n <= C, times all tiles.
    template <std::size_t C>
    void add_rows(std::size_t row, std::size_t n, std::size_t begin, std::size_t k,
                  std::size_t cols) noexcept {
        if constexpr (C > 1) {
            if (n < C) return add_rows<C - 1>(row, n, begin, k, cols);
        }
        const float* rows[C];
        for (std::size_t c = 0; c < C; ++c) rows[c] = x(row + c) + k;
        for (std::size_t t = 0; t < kTiles; ++t) {
            // x is in the first-level cache by then, and the rows after these can be asked for.
            const std::size_t ahead = t + 1 == kTiles ? C * m.x_stride : 0;
            add_tile<C>(weights[t][0][0], rows, cols, totals[t][row - begin][0], ahead);
        }
    }

    /// total (C, kSums) += weights (cols / kStep, kSums) times rows (C, cols). Fetches what lies
    /// `ahead` bytes after the rows, unless that is 0.
    template <std::size_t C>
    [[gnu::noinline]] static void add_tile(const float* w, const float* const* rows,
                                           std::size_t cols, float* total,
                                           std::size_t ahead) noexcept {
        using F = typename V::F;
        F acc[kVectors][C];
        SHOAL_UNROLL
        for (std::size_t v = 0; v < kVectors; ++v) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) acc[v][c] = V::zero();
        }
        std::size_t k = 0;
        for (; k + kStep <= cols; k += kStep, w += kSums) {
            F own[kVectors];
            SHOAL_UNROLL
            for (std::size_t v = 0; v < kVectors; ++v) own[v] = V::keep(V::load(w + v * V::kLanes));
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                if (ahead != 0) __builtin_prefetch(bytes(rows[c] + k) + ahead);
                const F inputs = V::keep(V::repeat(rows[c] + k));
                SHOAL_UNROLL
                for (std::size_t v = 0; v < kVectors; ++v) {
                    acc[v][c] = V::fma(own[v], inputs, acc[v][c]);
                }
            }
        }
        if (k < cols) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                float last[kStep] = {};
                memcpy(last, rows[c] + k, (cols - k) * sizeof last[0]);
                const F inputs = V::repeat(last);
                SHOAL_UNROLL
                for (std::size_t v = 0; v < kVectors; ++v) {
                    acc[v][c] = V::fma(V::load(w + v * V::kLanes), inputs, acc[v][c]);
                }
            }
        }
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t v = 0; v < kVectors; ++v) {
                float* at = total + c * kSums + v * V::kLanes;
                V::store(at, V::add(V::load(at), acc[v][c]));
            }
        }
    }
};

/// The whole product; bit-equal to matmul_float.
template <class N, class V, class Element>
inline void matmul_float_blocks(const Matmul& m) noexcept {
    FloatBlock<N, V, Element> block(m);
    const std::size_t parts = (m.rows + kBlockRows - 1) / kBlockRows;
    for (std::size_t p = 0; p < parts; ++p) {
        const std::size_t begin = m.rows * p / parts;
        const std::size_t end = m.rows * (p + 1) / parts;
        for (std::size_t out = m.out_begin; out < m.out_end; out += kBlockOutputs) {
            const std::size_t left = m.out_end - out;
            block.multiply(out, left < kBlockOutputs ? left : kBlockOutputs, begin, end);
        }
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
