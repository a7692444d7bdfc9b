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
    // Half a panel by four rows of x: eight sums and eight integer sums, two vectors of codes and
    // four of x leave registers of the 32 for scales and minimums, so that nothing is spilled:
    // stores take the pipes that multiply. Loads have pipes of their own.
    static constexpr std::size_t kTileVectors = 2;
    template <int Bits>
    static constexpr std::size_t kTile = 4;
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
    static constexpr std::size_t kPairPrefetchFar = 0;

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

    static F from_f16(const std::byte* at, std::size_t row) noexcept {
        const float16x8_t eight = vreinterpretq_f16_u8(load(at + row / 8 * 16));
        return row % 8 == 0 ? vcvt_f32_f16(vget_low_f16(eight)) : vcvt_high_f32_f16(eight);
    }
    /// Four of sixteen bytes, each the lowest of its lane.
    static uint32x4_t widened(const std::byte* at, std::size_t row) noexcept {
        const uint8x16_t all = load(at);
        const uint16x8_t eight = row < 8 ? vmovl_u8(vget_low_u8(all)) : vmovl_high_u8(all);
        return row % 8 == 0 ? vmovl_u16(vget_low_u16(eight)) : vmovl_high_u16(eight);
    }
    static F from_u8(const std::byte* at, std::size_t row) noexcept {
#ifdef __ARM_FEATURE_DOTPROD
        // The bytes become the lowest bits of 2^23, whose neighbours are integers: see origin().
        const B all = load(at);
        const B zeros = vdupq_n_u8(0);
        const B wide = row < 8 ? vzip1q_u8(all, zeros) : vzip2q_u8(all, zeros);
        const uint16x8_t eight = vreinterpretq_u16_u8(wide);
        const uint16x8_t high = vdupq_n_u16(0x4b00);
        const uint16x8_t four = row % 8 == 0 ? vzip1q_u16(eight, high) : vzip2q_u16(eight, high);
        return vsubq_f32(vreinterpretq_f32_u16(four), vdupq_n_f32(8388608.0f));
#else
        return vcvtq_f32_u32(widened(at, row));
#endif
    }
    static F from_i8(const std::byte* at, std::size_t row) noexcept {
        const int8x16_t all = vreinterpretq_s8_u8(load(at));
        const int16x8_t eight = row < 8 ? vmovl_s8(vget_low_s8(all)) : vmovl_high_s8(all);
        return vcvtq_f32_s32(row % 8 == 0 ? vmovl_s16(vget_low_s16(eight)) : vmovl_high_s16(eight));
    }
    static F from_low_nibbles(const std::byte* at, std::size_t row) noexcept {
        return vcvtq_f32_u32(vandq_u32(widened(at, row), vdupq_n_u32(15)));
    }
    static F from_high_nibbles(const std::byte* at, std::size_t row) noexcept {
        return vcvtq_f32_u32(vshrq_n_u32(widened(at, row), 4));
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

    /// Integer sums start from the bits of a float whose neighbours are integers. As long as they
    /// stay within 2^22, they are the bits of the float that lies as far from it: a subtraction,
    /// which both pipes do, takes the place of a conversion, which one does in two cycles.
    /// Always loaded, since copies of a register would take the pipes that multiply.
    static constexpr float kOrigin = 12582912.0f;  // 3 * 2^22
    static I origin() noexcept {
        static const volatile F value = {kOrigin, kOrigin, kOrigin, kOrigin};
        return vreinterpretq_s32_f32(value);
    }
    /// from + what was added to origin().
    static F from_origin(I total, I from) noexcept {
        const I start = vsubq_s32(vreinterpretq_s32_f32(vdupq_n_f32(kOrigin)), from);
        return vsubq_f32(vreinterpretq_f32_s32(total), vreinterpretq_f32_s32(start));
    }

    template <int Bits, std::size_t Slabs>
    struct Dot {
        I total;
        void start(I) noexcept { total = origin(); }
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
        F sum(I from) const noexcept { return from_origin(total, from); }
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
        F sum(I) const noexcept { return to_float(total); }
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
        F sum(I) const noexcept { return to_float(vaddq_s32(total, vpaddq_s32(first, second))); }
    };
#endif

  private:
    static const std::uint8_t* bytes(const void* at) noexcept {
        return static_cast<const std::uint8_t*>(at);
    }
};

}  // namespace
}  // namespace shoal::kernels::arm
