// Loads and the eight-float vector that the NEON kernels share. Everything has internal linkage.
#pragma once

#include <arm_neon.h>
#include <string.h>

#include <cstddef>
#include <cstdint>

namespace shoal::kernels::arm {
namespace {

[[maybe_unused]] inline uint8x16_t load_u8(const void* at) noexcept {
    return vld1q_u8(static_cast<const std::uint8_t*>(at));
}

[[maybe_unused]] inline int8x16_t load_s8(const void* at) noexcept {
    return vld1q_s8(static_cast<const std::int8_t*>(at));
}

/// One f16 as f32.
[[maybe_unused]] inline float load_half(const void* at) noexcept {
    __fp16 value;
    memcpy(&value, at, sizeof value);
    return static_cast<float>(value);
}

/// Eight floats: what kernels/vector/ asks of an ISA.
struct V8 {
    struct F {
        float32x4_t lo, hi;
    };
    static constexpr std::size_t kLanes = 8;
    /// Vectors beside G heads of an attention tile; each takes two of the 32 registers.
    static constexpr std::size_t attend_vectors(std::size_t g) noexcept { return g <= 2 ? 4 : 2; }
    /// Weight rows of a float tile with four rows of x: sixteen registers of sums, four of
    /// weights and two of x, out of 32.
    static constexpr std::size_t kFloatOutputs = 2;
    /// A Raspberry Pi 4 shares 1 MiB of second-level cache among four cores.
    static constexpr std::size_t kPanelBytes = 128 * 1024;

    static F zero() noexcept { return all(0.0f); }
    static F all(float x) noexcept { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
    static F load(const float* at) noexcept { return {vld1q_f32(at), vld1q_f32(at + 4)}; }
    static F load_first(const float* at, std::size_t n) noexcept {
        float values[8] = {};
        memcpy(values, at, n * sizeof values[0]);
        return load(values);
    }
    static void store(float* at, F x) noexcept {
        vst1q_f32(at, x.lo);
        vst1q_f32(at + 4, x.hi);
    }
    static void store_first(float* at, F x, std::size_t n) noexcept {
        float values[8];
        store(values, x);
        memcpy(at, values, n * sizeof values[0]);
    }
    static F add(F a, F b) noexcept { return {vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi)}; }
    static F sub(F a, F b) noexcept { return {vsubq_f32(a.lo, b.lo), vsubq_f32(a.hi, b.hi)}; }
    static F mul(F a, F b) noexcept { return {vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)}; }
    static F div(F a, F b) noexcept { return {vdivq_f32(a.lo, b.lo), vdivq_f32(a.hi, b.hi)}; }
    /// a * b + c, rounded once.
    static F fma(F a, F b, F c) noexcept {
        return {vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)};
    }
    /// The larger; b where a is NaN.
    static F max_number(F a, F b) noexcept {
        return {vmaxnmq_f32(a.lo, b.lo), vmaxnmq_f32(a.hi, b.hi)};
    }

    /// The lanes added in pairs four, then two, then one apart.
    static float sum(F v) noexcept {
        const float32x4_t four = vaddq_f32(v.lo, v.hi);
        const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
        return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
    }
    /// The largest lane, when none is NaN.
    static float max(F v) noexcept { return vmaxnmvq_f32(vmaxnmq_f32(v.lo, v.hi)); }
    /// To the nearest integer, ties to even.
    static F round(F x) noexcept { return {vrndnq_f32(x.lo), vrndnq_f32(x.hi)}; }
    /// 2^n of whole numbers in -126..127.
    static F power_of_two(F n) noexcept { return {power_of_two(n.lo), power_of_two(n.hi)}; }
    /// x 2^n of whole numbers n where neither x nor the result is subnormal or infinite.
    static F times_power_of_two(F x, F n) noexcept {
        return {times_power_of_two(x.lo, n.lo), times_power_of_two(x.hi, n.hi)};
    }
    /// v, but zero where x < limit.
    static F zero_below(F v, F x, float limit) noexcept {
        return {zero_below(v.lo, x.lo, limit), zero_below(v.hi, x.hi, limit)};
    }
    static F minus_abs(F x) noexcept {
        return {vnegq_f32(vabsq_f32(x.lo)), vnegq_f32(vabsq_f32(x.hi))};
    }
    /// `negative` where the sign of x is set, else `positive`.
    static F select_negative(F x, F negative, F positive) noexcept {
        return {select_negative(x.lo, negative.lo, positive.lo),
                select_negative(x.hi, negative.hi, positive.hi)};
    }

    static F load_f16(const void* at) noexcept { return from_f16(load_u16(at)); }
    static F load_f16_first(const void* at, std::size_t n) noexcept {
        return from_f16(first_u16(at, n));
    }
    /// One f16 in all lanes.
    static F all_f16(const void* at) noexcept { return all(load_half(at)); }
    static F load_s8(const void* at) noexcept {
        const int16x8_t wide = vmovl_s8(vld1_s8(static_cast<const std::int8_t*>(at)));
        return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide))};
    }
    static F load_bf16(const void* at) noexcept { return from_bf16(load_u16(at)); }
    static F load_bf16_first(const void* at, std::size_t n) noexcept {
        return from_bf16(first_u16(at, n));
    }

    /// `yes` where x is NaN, else `no`.
    static F select_nan(F x, F yes, F no) noexcept {
        return {vbslq_f32(vceqq_f32(x.lo, x.lo), no.lo, yes.lo),
                vbslq_f32(vceqq_f32(x.hi, x.hi), no.hi, yes.hi)};
    }

    /// Eight 32-bit integers.
    struct U {
        uint32x4_t lo, hi;
    };
    static U all_u32(std::uint32_t x) noexcept { return {vdupq_n_u32(x), vdupq_n_u32(x)}; }
    /// x, x + 1, ...
    static U count_from(std::uint32_t x) noexcept {
        constexpr std::uint32_t kCount[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        return {vaddq_u32(vdupq_n_u32(x), vld1q_u32(kCount)),
                vaddq_u32(vdupq_n_u32(x), vld1q_u32(kCount + 4))};
    }
    static U exclusive_or(U a, U b) noexcept {
        return {veorq_u32(a.lo, b.lo), veorq_u32(a.hi, b.hi)};
    }
    static U sum_u32(U a, U b) noexcept { return {vaddq_u32(a.lo, b.lo), vaddq_u32(a.hi, b.hi)}; }
    static U multiply(U a, U b) noexcept { return {vmulq_u32(a.lo, b.lo), vmulq_u32(a.hi, b.hi)}; }
    static U smaller(U a, U b) noexcept { return {vminq_u32(a.lo, b.lo), vminq_u32(a.hi, b.hi)}; }
    template <int kBits>
    static U shift_right(U x) noexcept {
        return {vshrq_n_u32(x.lo, kBits), vshrq_n_u32(x.hi, kBits)};
    }
    static bool any_at_most(U x, U limit) noexcept {
        return vmaxvq_u32(vorrq_u32(vcleq_u32(x.lo, limit.lo), vcleq_u32(x.hi, limit.hi))) != 0;
    }

  private:
    static float32x4_t power_of_two(float32x4_t n) noexcept {
        const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
        return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
    }
    static float32x4_t times_power_of_two(float32x4_t x, float32x4_t n) noexcept {
        const int32x4_t shift = vshlq_n_s32(vcvtq_s32_f32(n), 23);
        return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), shift));
    }
    static float32x4_t zero_below(float32x4_t v, float32x4_t x, float limit) noexcept {
        const uint32x4_t below = vcltq_f32(x, vdupq_n_f32(limit));
        return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), below));
    }
    static float32x4_t select_negative(float32x4_t x, float32x4_t negative,
                                       float32x4_t positive) noexcept {
        return vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(x)), negative, positive);
    }
    static uint16x8_t load_u16(const void* at) noexcept {
        return vreinterpretq_u16_u8(load_u8(at));
    }
    static uint16x8_t first_u16(const void* at, std::size_t n) noexcept {
        std::uint16_t bits[8] = {};
        memcpy(bits, at, n * sizeof bits[0]);
        return load_u16(bits);
    }
    static F from_f16(uint16x8_t bits) noexcept {
        const float16x8_t half = vreinterpretq_f16_u16(bits);
        return {vcvt_f32_f16(vget_low_f16(half)), vcvt_high_f32_f16(half)};
    }
    static F from_bf16(uint16x8_t bits) noexcept {
        return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16)),
                vreinterpretq_f32_u32(vshll_high_n_u16(bits, 16))};
    }
};

}  // namespace
}  // namespace shoal::kernels::arm
