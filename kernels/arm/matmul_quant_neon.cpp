// Quantised weights times quantised activations, with ARMv8.0 NEON (no dot-product instructions).
//
// A tile is R weight rows times C rows of x. Each group of 32 columns is decoded once and meets
// all C activations while it is in registers. Every (weight row, x row) has its own accumulator of
// four f32 lanes and adds along k in the same order whatever the tile.
#include "kernels/arm/formats_neon.hpp"
#include "kernels/arm/neon.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::arm {
namespace {

struct Inputs {
    int8x16_t lo, hi;
    float d, sum;
};

Inputs load_inputs(const ActivationBlock& x) noexcept {
    return {load_s8(x.qs), load_s8(x.qs + 16), x.d, x.sum};
}

/// 16-bit sums of two products each.
int16x8_t products(int8x16_t w, int8x16_t x) noexcept {
    return vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x);
}

/// The same, added to other sums.
int16x8_t add_products(int16x8_t sum, int8x16_t w, int8x16_t x) noexcept {
    return vmlal_high_s8(vmlal_s8(sum, vget_low_s8(w), vget_low_s8(x)), w, x);
}

/// Four 32-bit sums of eight columns each. No 16-bit sum overflows: 4 * 32 * 127 and
/// 2 * 128 * 127 are below 2^15.
template <class Format>
int32x4_t dot(const Weights& w, const Inputs& x) noexcept {
    if constexpr (Format::kCodes == Codes::bytes) {
        return vpadalq_s16(vpaddlq_s16(products(w.lo, x.lo)), products(w.hi, x.hi));
    } else if constexpr (Format::kCodes == Codes::sixteen) {
        const int32x4_t lo = vmulq_n_s32(vpaddlq_s16(products(w.lo, x.lo)), w.scale_lo);
        return vmlaq_n_s32(lo, vpaddlq_s16(products(w.hi, x.hi)), w.scale_hi);
    } else {
        return vpaddlq_s16(add_products(products(w.lo, x.lo), w.hi, x.hi));
    }
}

template <class Format>
float32x4_t accumulate(const Weights& w, const Inputs& x, float32x4_t acc) noexcept {
    acc = vfmaq_n_f32(acc, vcvtq_f32_s32(dot<Format>(w, x)), w.d * x.d);
    if constexpr (Format::kMinimum == Minimum::group) acc = vfmaq_n_f32(acc, w.min, x.sum);
    return acc;
}

/// The sums of four activation blocks.
float32x4_t block_sums(const ActivationBlock* x) noexcept {
    float32x4_t sums = vld1q_dup_f32(&x[0].sum);
    sums = vld1q_lane_f32(&x[1].sum, sums, 1);
    sums = vld1q_lane_f32(&x[2].sum, sums, 2);
    return vld1q_lane_f32(&x[3].sum, sums, 3);
}

template <class Format, std::size_t R, std::size_t C>
struct Tile {
    static constexpr BlockShape kShape = block_shape(Format::kType);
    static constexpr std::size_t kBlockGroups = Format::kSteps * Format::kGroups;

    const std::byte* w[R];
    const ActivationBlock* x[C];
    float32x4_t acc[R][C];

    /// Asks for the bytes that the next tile of weight rows reads at the same columns.
    void prefetch(std::size_t stride) const noexcept {
        constexpr std::size_t kLine = 64;
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            SHOAL_UNROLL
            for (std::size_t i = 0; i < kShape.bytes; i += kLine) {
                __builtin_prefetch(w[r] + R * stride + i);
            }
        }
    }

    /// One block of each weight row and its activations; moves on to the next.
    void block() noexcept {
        typename Format::Head head[R];
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) Format::head(w[r], head[r]);
        if constexpr (Format::kMinimum == Minimum::superblock) minimums(head);
        for (std::size_t step = 0; step < Format::kSteps; ++step) {
            Weights weights[R][Format::kGroups];
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) Format::groups(head[r], w[r], step, weights[r]);
            meet(weights, step * Format::kGroups);
        }
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) w[r] += kShape.bytes;
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) x[c] += kBlockGroups;
    }

    void minimums(const typename Format::Head (&head)[R]) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const float32x4_t low = block_sums(x[c]);
            const float32x4_t high = block_sums(x[c] + 4);
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                acc[r][c] = vfmsq_f32(acc[r][c], vld1q_f32(head[r].min), low);
                acc[r][c] = vfmsq_f32(acc[r][c], vld1q_f32(head[r].min + 4), high);
            }
        }
    }

    void meet(const Weights (&weights)[R][Format::kGroups], std::size_t group) noexcept {
        SHOAL_UNROLL
        for (std::size_t g = 0; g < Format::kGroups; ++g) {
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                const Inputs inputs = load_inputs(x[c][group + g]);
                SHOAL_UNROLL
                for (std::size_t r = 0; r < R; ++r) {
                    acc[r][c] = accumulate<Format>(weights[r][g], inputs, acc[r][c]);
                }
            }
        }
    }
};

template <class Format>
struct QuantKernel {
    static constexpr std::size_t kOutputs = 2;
    static constexpr std::size_t kPanelBytes = V8::kPanelBytes;

    template <std::size_t R, std::size_t C>
    static void tile(const Matmul& m, std::size_t out, std::size_t row, bool fresh) noexcept {
        Tile<Format, R, C> t;
        SHOAL_UNROLL
        for (std::size_t r = 0; r < R; ++r) t.w[r] = m.w + (out + r) * m.w_stride;
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const void* at = static_cast<const std::byte*>(m.x) + (row + c) * m.x_stride;
            t.x[c] = static_cast<const ActivationBlock*>(at);
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) t.acc[r][c] = vdupq_n_f32(0.0f);
        }
        const std::size_t blocks = m.cols / t.kShape.elements;
        for (std::size_t b = 0; b < blocks; ++b) {
            if (fresh) t.prefetch(m.w_stride);
            t.block();
        }
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                m.y[(row + c) * m.y_stride + out + r] = vaddvq_f32(t.acc[r][c]);
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

}  // namespace shoal::kernels::arm
