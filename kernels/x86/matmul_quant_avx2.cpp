// Quantised weights times quantised activations, with AVX2.
//
// A tile is R weight rows times C rows of x. Each pair of groups is decoded once and meets all C
// activations while it is in registers. Every (weight row, x row) has its own accumulator of
// eight f32 lanes and adds along k in the same order whatever the tile, so the shape of a tile is
// a matter of speed alone.
#include "kernels/vector/tiling.hpp"
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/formats_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// A pair of activation blocks, laid out like Weights.
struct Inputs {
    __m256i lo, hi;
    __m256i zero_lo, zero_hi;  ///< what the codes of zero contribute: 16-bit sums of two columns
    __m256 d;
    __m256 sum;
};

__m256 halves(const float* a, const float* b) noexcept {
    return _mm256_blend_ps(_mm256_broadcast_ss(a), _mm256_broadcast_ss(b), 0xf0);
}

template <class Format>
Inputs load_inputs(const ActivationBlock& a, const ActivationBlock& b) noexcept {
    Inputs x;
    x.lo = load_halves(a.qs, b.qs);
    x.hi = load_halves(a.qs + 16, b.qs + 16);
    x.d = halves(&a.d, &b.d);
    if constexpr (Format::kMinimum == Minimum::pair) x.sum = halves(&a.sum, &b.sum);
    if constexpr (Format::kCodes == Codes::offset || Format::kCodes == Codes::sixteen) {
        const __m256i ones = _mm256_set1_epi8(1);
        const __m256i lo = _mm256_maddubs_epi16(ones, x.lo);
        const __m256i hi = _mm256_maddubs_epi16(ones, x.hi);
        if constexpr (Format::kCodes == Codes::offset) {
            x.zero_lo = _mm256_slli_epi16(_mm256_add_epi16(lo, hi), Format::kZeroShift);
        } else {
            x.zero_lo = _mm256_slli_epi16(lo, Format::kZeroShift);
            x.zero_hi = _mm256_slli_epi16(hi, Format::kZeroShift);
        }
    }
    return x;
}

/// Eight 32-bit sums of eight columns each, those of A in the low half. No 16-bit sum overflows:
/// 4 * 31 * 127 for Q5, 2 * 63 * 127 for Q6, 2 * 128 * 127 for Q8 are all below 2^15.
template <class Format>
__m256i dot(const Weights& w, const Inputs& x) noexcept {
    const __m256i ones = _mm256_set1_epi16(1);
    if constexpr (Format::kCodes == Codes::bytes) {
        // |w| and x with the sign of w: the instruction wants one unsigned factor.
        const __m256i lo =
            _mm256_maddubs_epi16(_mm256_abs_epi8(w.lo), _mm256_sign_epi8(x.lo, w.lo));
        const __m256i hi =
            _mm256_maddubs_epi16(_mm256_abs_epi8(w.hi), _mm256_sign_epi8(x.hi, w.hi));
        return _mm256_add_epi32(_mm256_madd_epi16(lo, ones), _mm256_madd_epi16(hi, ones));
    } else if constexpr (Format::kCodes == Codes::sixteen) {
        const __m256i lo = _mm256_sub_epi16(_mm256_maddubs_epi16(w.lo, x.lo), x.zero_lo);
        const __m256i hi = _mm256_sub_epi16(_mm256_maddubs_epi16(w.hi, x.hi), x.zero_hi);
        return _mm256_add_epi32(_mm256_madd_epi16(lo, w.scale_lo),
                                _mm256_madd_epi16(hi, w.scale_hi));
    } else {
        __m256i sum =
            _mm256_add_epi16(_mm256_maddubs_epi16(w.lo, x.lo), _mm256_maddubs_epi16(w.hi, x.hi));
        if constexpr (Format::kCodes == Codes::offset) sum = _mm256_sub_epi16(sum, x.zero_lo);
        return _mm256_madd_epi16(sum, ones);
    }
}

template <class Format>
__m256 accumulate(const Weights& w, const Inputs& x, __m256 acc) noexcept {
    const __m256 scale = _mm256_mul_ps(w.d, x.d);
    acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot<Format>(w, x)), scale, acc);
    if constexpr (Format::kMinimum == Minimum::pair) acc = _mm256_fmadd_ps(w.min, x.sum, acc);
    return acc;
}

/// The sums of the eight activation blocks of a superblock.
__m256 block_sums(const ActivationBlock* x) noexcept {
    const auto four = [](const ActivationBlock* b) noexcept {
        const __m128 v01 = _mm_unpacklo_ps(_mm_load_ss(&b[0].sum), _mm_load_ss(&b[1].sum));
        const __m128 v23 = _mm_unpacklo_ps(_mm_load_ss(&b[2].sum), _mm_load_ss(&b[3].sum));
        return _mm_movelh_ps(v01, v23);
    };
    return _mm256_insertf128_ps(_mm256_castps128_ps256(four(x)), four(x + 4), 1);
}

template <class Format, std::size_t R, std::size_t C>
struct Tile {
    static constexpr BlockShape kShape = block_shape(Format::kType);
    static constexpr std::size_t kBlocksPerStep = Format::kPairs == 1 ? 2 : 1;
    static constexpr std::size_t kGroupsPerStep = 2 * Format::kPairs;

    const std::byte* w[R];
    const ActivationBlock* x[C];
    __m256 acc[R][C];

    /// Asks for the bytes that the next tile of weight rows reads at the same columns: the CPU's
    /// own prefetcher starts anew on every row.
    void prefetch(std::size_t block, std::size_t stride) const noexcept {
        constexpr std::size_t kLine = 64;
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const std::byte* at = w[r] + R * stride + block * kShape.bytes;
            SHOAL_UNROLL
            for (std::size_t i = 0; i < kBlocksPerStep * kShape.bytes; i += kLine) {
                __builtin_prefetch(at + i);
            }
        }
    }

    /// One superblock, or two blocks of 32 columns.
    void step(std::size_t block, std::size_t group) noexcept {
        typename Format::Head head[R];
        if constexpr (Format::kPairs > 1) {
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) Format::head(w[r] + block * kShape.bytes, head[r]);
        }
        if constexpr (Format::kMinimum == Minimum::superblock) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                const __m256 sums = block_sums(x[c] + group);
                SHOAL_UNROLL
                for (std::size_t r = 0; r < R; ++r) {
                    acc[r][c] = _mm256_fnmadd_ps(head[r].min, sums, acc[r][c]);
                }
            }
        }
        SHOAL_UNROLL
        for (std::size_t p = 0; p < Format::kPairs; ++p) {
            Weights weights[R];
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const std::byte* at = w[r] + block * kShape.bytes;
                if constexpr (Format::kPairs > 1) {
                    Format::pair(head[r], at, p, weights[r]);
                } else {
                    Format::pair(head[r], at, at + kShape.bytes, weights[r]);
                }
            }
            meet(weights, group + Format::first(p), group + Format::second(p));
        }
    }

    /// The last block of a row with an odd number of them: B repeats A with a scale of zero.
    void last_block(std::size_t block) noexcept {
        Weights weights[R];
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const std::byte* at = w[r] + block * kShape.bytes;
            Format::pair({}, at, at, weights[r]);
            const __m256 zero = _mm256_setzero_ps();
            weights[r].d = _mm256_blend_ps(weights[r].d, zero, 0xf0);
            if constexpr (Format::kMinimum == Minimum::pair) {
                weights[r].min = _mm256_blend_ps(weights[r].min, zero, 0xf0);
            }
        }
        meet(weights, block, block);
    }

    void meet(const Weights (&weights)[R], std::size_t a, std::size_t b) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const Inputs inputs = load_inputs<Format>(x[c][a], x[c][b]);
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                acc[r][c] = accumulate<Format>(weights[r], inputs, acc[r][c]);
            }
        }
    }
};

template <class Format>
struct QuantKernel {
    /// Two by four is eight sums; the weights and inputs of a pair take the other registers.
    static constexpr std::size_t kOutputs = 2;
    static constexpr std::size_t kPanelBytes = V8::kPanelBytes;

    template <std::size_t R, std::size_t C>
    static void tile(const Matmul& m, std::size_t out, std::size_t row, bool fresh) noexcept {
        using T = Tile<Format, R, C>;
        T t;
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) t.w[r] = m.w + (out + r) * m.w_stride;
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const void* at = static_cast<const std::byte*>(m.x) + (row + c) * m.x_stride;
            t.x[c] = static_cast<const ActivationBlock*>(at);
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) t.acc[r][c] = _mm256_setzero_ps();
        }
        const std::size_t blocks = m.cols / T::kShape.elements;
        std::size_t b = 0;
        std::size_t group = 0;
        for (; b + T::kBlocksPerStep <= blocks; b += T::kBlocksPerStep) {
            if (fresh) t.prefetch(b, m.w_stride);
            t.step(b, group);
            group += T::kGroupsPerStep;
        }
        if constexpr (Format::kPairs == 1) {
            if (b < blocks) t.last_block(b);
        }
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                m.y[(row + c) * m.y_stride + out + r] = V8::sum(t.acc[r][c]);
            }
        }
    }
};

}  // namespace

void matmul_q4_0(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q4_0>>(m);
}
void matmul_q4_1(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q4_1>>(m);
}
void matmul_q5_0(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q5_0>>(m);
}
void matmul_q5_1(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q5_1>>(m);
}
void matmul_q8_0(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q8_0>>(m);
}
void matmul_q4_k(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q4_K>>(m);
}
void matmul_q5_k(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q5_K>>(m);
}
void matmul_q6_k(const Matmul& m) noexcept {
    vector::run<QuantKernel<Q6_K>>(m);
}

}  // namespace shoal::kernels::x86
