// F32, F16 and BF16 weights times f32 activations, with AVX2.
//
// Each (weight row, x row) adds along k in eight lanes for kChunk columns, then adds those lanes
// to its total: the same order in every tile. The second level keeps the rounding error of long
// rows near that of short ones.
#include "kernels/unroll.hpp"
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// Columns of a first-level sum: 32 steps of eight lanes.
constexpr std::size_t kChunk = 256;
constexpr std::size_t kLine = 64;  // bytes that one prefetch brings in

template <class Element, std::size_t R, std::size_t C>
struct Tile {
    const std::byte* w[R];
    const float* x[C];
    __m256 total[R][C];
    /// Bytes to the weights that the next tile reads at the same columns; 0 when this tile's are
    /// in the cache already, so that nothing is fetched ahead.
    std::size_t ahead;

    void chunk(std::size_t begin, std::size_t end) noexcept {
        __m256 acc[R][C];
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) acc[r][c] = _mm256_setzero_ps();
        }
        std::size_t k = begin;
        for (; k + 8 <= end; k += 8) {
            if (ahead != 0 && k * Element::kBytes % kLine == 0) prefetch(k);
            __m256 weights[R];
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                weights[r] = Element::load(w[r] + k * Element::kBytes);
            }
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                const __m256 inputs = F32::load(x[c] + k);
                SHOAL_UNROLL
                for (std::size_t r = 0; r < R; ++r) {
                    acc[r][c] = _mm256_fmadd_ps(weights[r], inputs, acc[r][c]);
                }
            }
        }
        if (k < end) rest(k, end - k, acc);
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                total[r][c] = _mm256_add_ps(total[r][c], acc[r][c]);
            }
        }
    }

    void prefetch(std::size_t k) const noexcept {
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            _mm_prefetch(w[r] + ahead + k * Element::kBytes, _MM_HINT_T0);
        }
    }

    /// The last columns of a row, fewer than eight: lanes beyond them are zero.
    void rest(std::size_t k, std::size_t n, __m256 (&acc)[R][C]) noexcept {
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const __m256 weights = Element::load_first(w[r] + k * Element::kBytes, n);
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                acc[r][c] = _mm256_fmadd_ps(weights, F32::load_first(x[c] + k, n), acc[r][c]);
            }
        }
    }
};

/// `fresh` is the row of x that meets these weight rows first, when they come from memory.
template <class Element, std::size_t R, std::size_t C>
void run_tile(const Matmul& m, std::size_t out, std::size_t row, std::size_t fresh) noexcept {
    Tile<Element, R, C> t;
    t.ahead = row == fresh ? R * m.w_stride : 0;
    SHOAL_UNROLL
    for (std::size_t r = 0; r < R; ++r) t.w[r] = m.w + (out + r) * m.w_stride;
    SHOAL_UNROLL
    for (std::size_t c = 0; c < C; ++c) {
        const void* at = static_cast<const std::byte*>(m.x) + (row + c) * m.x_stride;
        t.x[c] = static_cast<const float*>(at);
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) t.total[r][c] = _mm256_setzero_ps();
    }
    for (std::size_t k = 0; k < m.cols; k += kChunk) {
        t.chunk(k, m.cols - k < kChunk ? m.cols : k + kChunk);
    }
    SHOAL_UNROLL
    for (std::size_t c = 0; c < C; ++c) {
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            m.y[(row + c) * m.y_stride + out + r] = sum_lanes(t.total[r][c]);
        }
    }
}

template <class Element, std::size_t R>
void run_rows(const Matmul& m, std::size_t out, std::size_t begin, std::size_t end) noexcept {
    std::size_t row = begin;
    for (; row + 4 <= end; row += 4) run_tile<Element, R, 4>(m, out, row, begin);
    switch (end - row) {
        case 3:
            return run_tile<Element, R, 3>(m, out, row, begin);
        case 2:
            return run_tile<Element, R, 2>(m, out, row, begin);
        case 1:
            return run_tile<Element, R, 1>(m, out, row, begin);
        default:
            return;
    }
}

/// As in matmul_quant_avx2.cpp.
constexpr std::size_t kPanelBytes = 192 * 1024;

template <class Element>
void run(const Matmul& m) noexcept {
    const std::size_t fit = kPanelBytes / (m.x_stride != 0 ? m.x_stride : 1) / 4 * 4;
    const std::size_t panel = fit != 0 ? fit : 4;
    for (std::size_t begin = 0; begin < m.rows; begin += panel) {
        const std::size_t end = m.rows - begin < panel ? m.rows : begin + panel;
        std::size_t out = m.out_begin;
        if (end - begin == 1) {
            for (; out + 4 <= m.out_end; out += 4) run_tile<Element, 4, 1>(m, out, begin, begin);
        }
        // Three by four is twelve sums, one vector of x and three of weights: all 16 registers.
        for (; out + 3 <= m.out_end; out += 3) run_rows<Element, 3>(m, out, begin, end);
        for (; out < m.out_end; ++out) run_rows<Element, 1>(m, out, begin, end);
    }
}

}  // namespace

void matmul_f32(const Matmul& m) noexcept {
    run<F32>(m);
}
void matmul_f16(const Matmul& m) noexcept {
    run<F16>(m);
}
void matmul_bf16(const Matmul& m) noexcept {
    run<Bf16>(m);
}

}  // namespace shoal::kernels::x86
