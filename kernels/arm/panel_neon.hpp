// Vectors of four rows for kernels/vector/panel_matmul.hpp: ARMv8.0 NEON, and the dot product of
// ARMv8.2 where the compiler is told that the CPU has it.
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "kernels/vector/panel_matmul.hpp"

namespace shoal::kernels::arm {
namespace {

struct Rows4 {
    static constexpr std::size_t kLanes = 4;
    static constexpr bool kSigned = true;
    static constexpr bool kMatrixProducts = false;
    using F = float32x4_t;
    using I = int32x4_t;
    using B = uint8x16_t;

#ifdef __ARM_FEATURE_DOTPROD
    // A panel by three rows of x: twelve sums and twelve integer sums, four vectors of codes and
    // three of x, of 32 registers. A multiplication needs 0.4 loads.
    static constexpr std::size_t kTileVectors = 4;
    template <int Bits>
    static constexpr std::size_t kTile = 3;
    static constexpr std::size_t kStreamTile = 2;
    static constexpr std::size_t kStreamRows = 4;
#else
    // Half a panel by two rows of x. Bytes take the most registers: four sums, and for each two of
    // 16-bit and two of 32-bit products. Multiplications take one of two pipes, so that more rows
    // of x would save nothing.
    static constexpr std::size_t kTileVectors = 2;
    template <int Bits>
    static constexpr std::size_t kTile = 2;
    static constexpr std::size_t kStreamTile = 1;
    static constexpr std::size_t kStreamRows = 2;
#endif
    static constexpr std::size_t kStreamVectors = 4;
    static constexpr std::size_t kPairRows = 0;

    template <int Bits>
    using Operand = vector::WholeBytes<Rows4>;

    static B load(const std::byte* at) noexcept {
        return vld1q_u8(bytes(at));
    }
    static void store_bytes(std::byte* at, B v) noexcept {
        vst1q_u8(static_cast<std::uint8_t*>(static_cast<void*>(at)), v);
    }
    /// The instruction takes a literal; every case but one goes when `shift` is known.
    [[gnu::always_inline]] static B shifted(B v, std::size_t shift) noexcept {
        switch (shift) {
            case 1:
                return vshrq_n_u8(v, 1);
            case 2:
                return vshrq_n_u8(v, 2);
            case 3:
                return vshrq_n_u8(v, 3);
            case 4:
                return vshrq_n_u8(v, 4);
            case 5:
                return vshrq_n_u8(v, 5);
            case 6:
                return vshrq_n_u8(v, 6);
            case 7:
                return vshrq_n_u8(v, 7);
            default:
                return v;
        }
    }
    /// Inlined always: the compiler judges by the size before cases go.
    template <int N>
    [[gnu::always_inline]] static B bits(B v, std::size_t shift) noexcept {
        const B low = shifted(v, shift);
        return shift + N == 8 ? low : vandq_u8(low, vdupq_n_u8((1 << N) - 1));
    }
    /// Bytes to be shifted: one instruction shifts them and puts them above others.
    template <int N>
    struct Up {
        B v;
    };
    template <int N>
    static Up<N> up(B v) noexcept {
        return {v};
    }
    template <int N>
    static B either(B low, Up<N> high) noexcept {
        return vsliq_n_u8(low, high.v, N);
    }
    static B lookup(const std::uint8_t* table, B v) noexcept {
        return vqtbl1q_u8(vld1q_u8(table), v);
    }

    static B load_rows(const std::byte* at, std::size_t) noexcept {
        return load(at);
    }
    static void transpose(B (&v)[4]) noexcept {
        const uint32x4x2_t even = vzipq_u32(vreinterpretq_u32_u8(v[0]), vreinterpretq_u32_u8(v[2]));
        const uint32x4x2_t odd = vzipq_u32(vreinterpretq_u32_u8(v[1]), vreinterpretq_u32_u8(v[3]));
        const uint32x4x2_t low = vzipq_u32(even.val[0], odd.val[0]);
        const uint32x4x2_t high = vzipq_u32(even.val[1], odd.val[1]);
        v[0] = vreinterpretq_u8_u32(low.val[0]);
        v[1] = vreinterpretq_u8_u32(low.val[1]);
        v[2] = vreinterpretq_u8_u32(high.val[0]);
        v[3] = vreinterpretq_u8_u32(high.val[1]);
    }
    static void put_bytes(std::byte* at, B words) noexcept {
        const uint8x16_t low = vqtbl1q_u8(words, vreinterpretq_u8_u32(vdupq_n_u32(0x0c080400)));
        void* p = at;
        vst1q_lane_u32(static_cast<std::uint32_t*>(p), vreinterpretq_u32_u8(low), 0);
    }
    static void put_halves(std::byte* at, B words) noexcept {
        void* p = at;
        vst1_u16(static_cast<std::uint16_t*>(p), vmovn_u32(vreinterpretq_u32_u8(words)));
    }

    static F from_f16(const std::byte* at) noexcept {
        const void* p = at;
        return vcvt_f32_f16(vld1_f16(static_cast<const float16_t*>(p)));
    }
    /// Four bytes, each in the lowest or the highest byte of its lane. A table look-up does in one
    /// instruction what widening twice would; twelve bytes more are read, and codes follow.
    static uint32x4_t lowest(const std::byte* at) noexcept {
        return spread(at,
                      vcombine_u8(vcreate_u8(0xffffff01ffffff00), vcreate_u8(0xffffff03ffffff02)));
    }
    static uint32x4_t highest(const std::byte* at) noexcept {
        return spread(at,
                      vcombine_u8(vcreate_u8(0x01ffffff00ffffff), vcreate_u8(0x03ffffff02ffffff)));
    }
    static F from_u8(const std::byte* at) noexcept {
        return vcvtq_f32_u32(lowest(at));
    }
    static F from_i8(const std::byte* at) noexcept {
        return vcvtq_n_f32_s32(vreinterpretq_s32_u32(highest(at)), 24);
    }
    static F from_low_nibbles(const std::byte* at) noexcept {
        return vcvtq_f32_u32(vandq_u32(lowest(at), vdupq_n_u32(15)));
    }
    static F from_high_nibbles(const std::byte* at) noexcept {
        return vcvtq_f32_u32(vshrq_n_u32(lowest(at), 4));
    }

    static F zero() noexcept {
        return vdupq_n_f32(0.0f);
    }
    static F all(const float* at) noexcept {
        return vld1q_dup_f32(at);
    }
    static F load(const float* at) noexcept {
        return vld1q_f32(at);
    }
    static F load_first(const float* at, std::size_t n) noexcept {
        float values[kLanes] = {};
        memcpy(values, at, n * sizeof values[0]);
        return load(values);
    }
    static void store(float* at, F v) noexcept {
        vst1q_f32(at, v);
    }
    static void store_first(float* at, F v, std::size_t n) noexcept {
        float values[kLanes];
        store(values, v);
        memcpy(at, values, n * sizeof values[0]);
    }
    static F load_floats(const std::byte* at) noexcept {
        return vreinterpretq_f32_u8(load(at));
    }
    static void store_floats(std::byte* at, F v) noexcept {
        store_bytes(at, vreinterpretq_u8_f32(v));
    }
    static F mul(F a, F b) noexcept {
        return vmulq_f32(a, b);
    }
    static F fma(F a, F b, F c) noexcept {
        return vfmaq_f32(c, a, b);
    }
    static F negated(F a) noexcept {
        return vnegq_f32(a);
    }
    static F to_float(I v) noexcept {
        return vcvtq_f32_s32(v);
    }

    static I zero_ints() noexcept {
        return vdupq_n_s32(0);
    }
    static I all_ints(const std::int32_t* at) noexcept {
        return vld1q_dup_s32(at);
    }
    static I sub_ints(I a, I b) noexcept {
        return vsubq_s32(a, b);
    }
    static I negated_int(I a) noexcept {
        return vnegq_s32(a);
    }
    template <int N>
    static I shift_left(I a) noexcept {
        return vshlq_n_s32(a, N);
    }

#ifdef __ARM_FEATURE_DOTPROD
    /// Four slabs of activations, of which a multiplication takes one.
    struct Slab {
        int8x16_t four;
        std::size_t lane;
    };
    static Slab all_slab(const std::int8_t* qs, std::size_t slab) noexcept {
        return {vld1q_s8(qs + slab / 4 * 16), slab % 4};
    }

    template <int Bits, std::size_t Slabs>
    struct Dot {
        I total;
        void start(I from) noexcept { total = from; }
        void step(std::size_t, B w, Slab x) noexcept {
            const int8x16_t codes = vreinterpretq_s8_u8(w);
            switch (x.lane) {
                case 0:
                    total = vdotq_laneq_s32(total, codes, x.four, 0);
                    break;
                case 1:
                    total = vdotq_laneq_s32(total, codes, x.four, 1);
                    break;
                case 2:
                    total = vdotq_laneq_s32(total, codes, x.four, 2);
                    break;
                default:
                    total = vdotq_laneq_s32(total, codes, x.four, 3);
                    break;
            }
        }
        I sum(I) const noexcept { return total; }
    };
#else
    /// A slab of activations twice: for two rows of W.
    static int8x8_t all_slab(const std::int8_t* qs, std::size_t slab) noexcept {
        const void* at = qs + slab * kSlabColumns;
        return vreinterpret_s8_s32(vld1_dup_s32(static_cast<const std::int32_t*>(at)));
    }
    static int16x8_t low_product(B w, int8x8_t x) noexcept {
        return vmull_s8(vget_low_s8(vreinterpretq_s8_u8(w)), x);
    }
    static int16x8_t high_product(B w, int8x8_t x) noexcept {
        return vmull_s8(vget_high_s8(vreinterpretq_s8_u8(w)), x);
    }
    static int16x8_t add_low(int16x8_t sums, B w, int8x8_t x) noexcept {
        return vmlal_s8(sums, vget_low_s8(vreinterpretq_s8_u8(w)), x);
    }
    static int16x8_t add_high(int16x8_t sums, B w, int8x8_t x) noexcept {
        return vmlal_s8(sums, vget_high_s8(vreinterpretq_s8_u8(w)), x);
    }

    /// Products are added in 16 bits over as many slabs as leave room to add two columns' sums:
    /// 2 (2^Bits - 1) 127 each.
    template <int Bits, std::size_t Slabs>
    struct Dot {
        static constexpr std::size_t kFits = Bits <= 4 ? 8 : Bits == 5 ? 4 : 2;
        static constexpr std::size_t kRun = kFits < Slabs ? kFits : Slabs;
        I total;
        int16x8_t low, high;  ///< of the first two rows and of the others
        void start(I from) noexcept { total = from; }
        void step(std::size_t s, B w, int8x8_t x) noexcept {
            low = s % kRun == 0 ? low_product(w, x) : add_low(low, w, x);
            high = s % kRun == 0 ? high_product(w, x) : add_high(high, w, x);
            if (s % kRun == kRun - 1) total = vpadalq_s16(total, vpaddq_s16(low, high));
        }
        I sum(I) const noexcept { return total; }
    };
    /// Of bytes, two products fit: 2 * 128 * 127 < 2^15.
    template <std::size_t Slabs>
    struct Dot<8, Slabs> {
        I total;
        I first, second;  ///< sums of two columns each, of the first two rows and of the others
        int16x8_t low, high;
        void start(I from) noexcept { total = from; }
        void step(std::size_t s, B w, int8x8_t x) noexcept {
            low = s % 2 == 0 ? low_product(w, x) : add_low(low, w, x);
            high = s % 2 == 0 ? high_product(w, x) : add_high(high, w, x);
            if (s % 2 == 0) return;
            first = s == 1 ? vpaddlq_s16(low) : vpadalq_s16(first, low);
            second = s == 1 ? vpaddlq_s16(high) : vpadalq_s16(second, high);
        }
        I sum(I) const noexcept { return vaddq_s32(total, vpaddq_s32(first, second)); }
    };
#endif

  private:
    static const std::uint8_t* bytes(const void* at) noexcept {
        return static_cast<const std::uint8_t*>(at);
    }
    static uint32x4_t spread(const std::byte* at, uint8x16_t places) noexcept {
        return vreinterpretq_u32_u8(vqtbl1q_u8(load(at), places));
    }
};

}  // namespace
}  // namespace shoal::kernels::arm
