// How each quantised format becomes vectors, one group of 32 columns at a time: signed bytes for
// columns 0..15 and 16..31 with the group's scale. Layouts of the bytes: kernels/blocks.hpp.
#pragma once

#include "kernels/arm/vector_neon.hpp"
#include "kernels/types.hpp"

namespace shoal::kernels::arm {
namespace {

/// A group of one weight row. Members that a format does not need are never set.
struct Weights {
    int8x16_t lo, hi;
    float d;
    std::int32_t scale_lo, scale_hi;  ///< Q6_K: integer scales of the sixteen columns
    float32x4_t min;                  ///< minimum, 0, 0, 0
};

/// What becomes of the integers before they are converted.
enum class Codes {
    small,    ///< at most 32 in magnitude: four products fit 16 bits
    sixteen,  ///< as small, with an integer scale for each 16 columns
    bytes,    ///< full range: two products fit 16 bits
};

/// Where a format keeps its minimum.
enum class Minimum { none, group, superblock };

[[maybe_unused]] inline uint8x16_t low_nibbles(uint8x16_t v) noexcept {
    return vandq_u8(v, vdupq_n_u8(15));
}

[[maybe_unused]] inline uint8x16_t high_nibbles(uint8x16_t v) noexcept {
    return vshrq_n_u8(v, 4);
}

/// Codes less the code of zero.
[[maybe_unused]] inline int8x16_t centred(uint8x16_t codes, std::int8_t zero) noexcept {
    return vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(zero));
}

/// Blocks of 32 columns: a step is one block and nothing needs preparing.
struct SmallBlocks {
    static constexpr std::size_t kSteps = 1;
    static constexpr std::size_t kGroups = 1;
    struct Head {};
    static void head(const std::byte*, Head&) noexcept {}

    static void nibbles(const std::byte* qs, std::int8_t zero, Weights& w) noexcept {
        const uint8x16_t v = load_u8(qs);
        w.lo = centred(low_nibbles(v), zero);
        w.hi = centred(high_nibbles(v), zero);
    }

    static void five_bits(const std::byte* qh, const std::byte* qs, std::int8_t zero,
                          Weights& w) noexcept {
        const uint8x16_t v = load_u8(qs);
        const uint8x16_t bits = vreinterpretq_u8_u32(vdupq_n_u32(load_u32(qh)));
        w.lo = centred(vorrq_u8(low_nibbles(v), spread(bits, 0)), zero);
        w.hi = centred(vorrq_u8(high_nibbles(v), spread(bits, 2)), zero);
    }

    /// 16 in each byte whose bit is set in the two bytes of `bits` from `byte` on.
    static uint8x16_t spread(uint8x16_t bits, std::uint8_t byte) noexcept {
        const uint8x16_t each = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
        const uint8x16_t where = vcombine_u8(vdup_n_u8(byte), vdup_n_u8(byte + 1));
        const uint8x16_t set = vtstq_u8(vqtbl1q_u8(bits, where), each);
        return vandq_u8(set, vdupq_n_u8(16));
    }

    static void minimum(const std::byte* m, Weights& w) noexcept {
        w.min = vsetq_lane_f32(load_half(m), vdupq_n_f32(0.0f), 0);
    }
};

struct Q4_0 : SmallBlocks {
    static constexpr DType kType = DType::q4_0;
    static constexpr Codes kCodes = Codes::small;
    static constexpr Minimum kMinimum = Minimum::none;
    static void groups(const Head&, const std::byte* block, std::size_t, Weights* w) noexcept {
        w->d = load_half(block);
        nibbles(block + 2, 8, *w);
    }
};

struct Q4_1 : SmallBlocks {
    static constexpr DType kType = DType::q4_1;
    static constexpr Codes kCodes = Codes::small;
    static constexpr Minimum kMinimum = Minimum::group;
    static void groups(const Head&, const std::byte* block, std::size_t, Weights* w) noexcept {
        w->d = load_half(block);
        minimum(block + 2, *w);
        nibbles(block + 4, 0, *w);
    }
};

struct Q5_0 : SmallBlocks {
    static constexpr DType kType = DType::q5_0;
    static constexpr Codes kCodes = Codes::small;
    static constexpr Minimum kMinimum = Minimum::none;
    static void groups(const Head&, const std::byte* block, std::size_t, Weights* w) noexcept {
        w->d = load_half(block);
        five_bits(block + 2, block + 6, 16, *w);
    }
};

struct Q5_1 : SmallBlocks {
    static constexpr DType kType = DType::q5_1;
    static constexpr Codes kCodes = Codes::small;
    static constexpr Minimum kMinimum = Minimum::group;
    static void groups(const Head&, const std::byte* block, std::size_t, Weights* w) noexcept {
        w->d = load_half(block);
        minimum(block + 2, *w);
        five_bits(block + 4, block + 8, 0, *w);
    }
};

struct Q8_0 : SmallBlocks {
    static constexpr DType kType = DType::q8_0;
    static constexpr Codes kCodes = Codes::bytes;
    static constexpr Minimum kMinimum = Minimum::none;
    static void groups(const Head&, const std::byte* block, std::size_t, Weights* w) noexcept {
        w->d = load_half(block);
        w->lo = load_s8(block + 2);
        w->hi = load_s8(block + 18);
    }
};

/// Superblocks of 8 groups whose scales and minimums are six-bit. A step is the two groups that
/// share their bytes.
struct Superblock {
    static constexpr std::size_t kSteps = 4;
    static constexpr std::size_t kGroups = 2;
    static constexpr Codes kCodes = Codes::small;
    static constexpr Minimum kMinimum = Minimum::superblock;
    struct Head {
        float d[8];
        float min[8];
    };

    static void head(const std::byte* block, Head& h) noexcept {
        const std::uint32_t s0 = load_u32(block + 4);
        const std::uint32_t s1 = load_u32(block + 8);
        const std::uint32_t s2 = load_u32(block + 12);
        constexpr std::uint32_t kSix = 0x3f3f3f3f, kFour = 0x0f0f0f0f, kTwo = 0x03030303;
        const std::uint64_t scale_high = (s2 & kFour) | ((s0 >> 6) & kTwo) << 4;
        const std::uint64_t min_high = ((s2 >> 4) & kFour) | ((s1 >> 6) & kTwo) << 4;
        scaled(scale_high << 32 | (s0 & kSix), load_half(block), h.d);
        scaled(min_high << 32 | (s1 & kSix), load_half(block + 2), h.min);
    }

    static void scaled(std::uint64_t bytes, float by, float* out) noexcept {
        const uint16x8_t v = vmovl_u8(vcreate_u8(bytes));
        vst1q_f32(out, vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(v))), by));
        vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_u32(vmovl_high_u16(v)), by));
    }
};

struct Q4_K : Superblock {
    static constexpr DType kType = DType::q4_k;
    static void groups(const Head& h, const std::byte* block, std::size_t step,
                       Weights* w) noexcept {
        const uint8x16_t q0 = load_u8(block + 16 + 32 * step);
        const uint8x16_t q1 = load_u8(block + 32 + 32 * step);
        w[0].lo = centred(low_nibbles(q0), 0);
        w[0].hi = centred(low_nibbles(q1), 0);
        w[1].lo = centred(high_nibbles(q0), 0);
        w[1].hi = centred(high_nibbles(q1), 0);
        w[0].d = h.d[2 * step];
        w[1].d = h.d[2 * step + 1];
    }
};

struct Q5_K : Superblock {
    static constexpr DType kType = DType::q5_k;
    static void groups(const Head& h, const std::byte* block, std::size_t step,
                       Weights* w) noexcept {
        const uint8x16_t q0 = load_u8(block + 48 + 32 * step);
        const uint8x16_t q1 = load_u8(block + 64 + 32 * step);
        // Bits 2 step and 2 step + 1 of each byte, as bits 0 and 1.
        const int8x16_t right = vdupq_n_s8(static_cast<std::int8_t>(-2 * static_cast<int>(step)));
        const uint8x16_t h0 = vshlq_u8(load_u8(block + 16), right);
        const uint8x16_t h1 = vshlq_u8(load_u8(block + 32), right);
        const uint8x16_t sixteen = vdupq_n_u8(16);
        const auto even = [&](uint8x16_t v) { return vandq_u8(vshlq_n_u8(v, 4), sixteen); };
        const auto odd = [&](uint8x16_t v) { return vandq_u8(vshlq_n_u8(v, 3), sixteen); };
        w[0].lo = centred(vorrq_u8(low_nibbles(q0), even(h0)), 0);
        w[0].hi = centred(vorrq_u8(low_nibbles(q1), even(h1)), 0);
        w[1].lo = centred(vorrq_u8(high_nibbles(q0), odd(h0)), 0);
        w[1].hi = centred(vorrq_u8(high_nibbles(q1), odd(h1)), 0);
        w[0].d = h.d[2 * step];
        w[1].d = h.d[2 * step + 1];
    }
};

/// A step is a half of 128 columns: four groups share the bytes of the upper bits.
struct Q6_K {
    static constexpr DType kType = DType::q6_k;
    static constexpr std::size_t kSteps = 2;
    static constexpr std::size_t kGroups = 4;
    static constexpr Codes kCodes = Codes::sixteen;
    static constexpr Minimum kMinimum = Minimum::none;
    struct Head {
        float d;
    };

    static void head(const std::byte* block, Head& h) noexcept { h.d = load_half(block + 208); }

    static void groups(const Head& h, const std::byte* block, std::size_t step,
                       Weights* w) noexcept {
        const std::byte* ql = block + 64 * step;
        const std::byte* qh = block + 128 + 32 * step;
        for (std::size_t i = 0; i < 2; ++i) {
            const uint8x16_t even = load_u8(ql + 16 * i);
            const uint8x16_t odd = load_u8(ql + 32 + 16 * i);
            const uint8x16_t high = load_u8(qh + 16 * i);
            const uint8x16_t upper = vdupq_n_u8(48);
            const auto six = [](uint8x16_t low, uint8x16_t top) {
                return centred(vorrq_u8(low, top), 32);
            };
            const int8x16_t q[4] = {six(low_nibbles(even), vandq_u8(vshlq_n_u8(high, 4), upper)),
                                    six(low_nibbles(odd), vandq_u8(vshlq_n_u8(high, 2), upper)),
                                    six(high_nibbles(even), vandq_u8(high, upper)),
                                    six(high_nibbles(odd), vandq_u8(vshrq_n_u8(high, 2), upper))};
            for (std::size_t g = 0; g < 4; ++g) (i == 0 ? w[g].lo : w[g].hi) = q[g];
        }
        std::int8_t scales[8];
        memcpy(scales, block + 192 + 8 * step, sizeof scales);
        for (std::size_t g = 0; g < 4; ++g) {
            w[g].d = h.d;
            w[g].scale_lo = scales[2 * g];
            w[g].scale_hi = scales[2 * g + 1];
        }
    }
};

}  // namespace
}  // namespace shoal::kernels::arm
