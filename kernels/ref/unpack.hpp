// The one place that reads the bits of quantised blocks for the portable kernels: every format
// comes out as 32 small integers with their scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/blocks.hpp"
#include "kernels/ref/half.hpp"

namespace shoal::kernels::ref {

/// 32 columns: value[c] = d * (mul[c / 16] * q[c]) + min[c / 16].
/// d is exact in f32 for every format: an 11-bit f16 mantissa times a 6-bit group scale.
struct Columns {
    std::int8_t q[32];
    std::int32_t mul[2];  ///< integer scales of both halves; 1 where they share d
    float d;
    float min[2];
};

/// Copies a block out of unaligned bytes.
template <class Block>
Block load_block(const std::byte* bytes) noexcept {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    return block;
}

/// Nibbles of a 32-column block, less `zero`, with the fifth bits of `high` (0 when there are
/// none).
inline void unpack_nibbles(const std::uint8_t* qs, std::uint32_t high, int zero,
                           std::int8_t* q) noexcept {
    for (unsigned j = 0; j < 16; ++j) {
        const int low_bit = static_cast<int>((high >> j) & 1u) << 4;
        const int high_bit = static_cast<int>((high >> (j + 16)) & 1u) << 4;
        q[j] = static_cast<std::int8_t>(((qs[j] & 15) | low_bit) - zero);
        q[j + 16] = static_cast<std::int8_t>(((qs[j] >> 4) | high_bit) - zero);
    }
}

inline std::uint32_t load_u32(const std::uint8_t* bytes) noexcept {
    return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
           static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

/// The six-bit scale and minimum of group g of a Q4_K or Q5_K block.
inline void group_scale(const std::uint8_t* scales, std::size_t g, int& scale, int& min) noexcept {
    if (g < 4) {
        scale = scales[g] & 63;
        min = scales[g + 4] & 63;
    } else {
        scale = (scales[g + 4] & 15) | (scales[g - 4] >> 6) << 4;
        min = (scales[g + 4] >> 4) | (scales[g] >> 6) << 4;
    }
}

inline Columns unpack(const BlockQ4_0& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    unpack_nibbles(block.qs, 0, 8, c.q);
    return c;
}

inline Columns unpack(const BlockQ4_1& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    c.min[0] = c.min[1] = f16_to_f32(block.m);
    unpack_nibbles(block.qs, 0, 0, c.q);
    return c;
}

inline Columns unpack(const BlockQ5_0& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    unpack_nibbles(block.qs, load_u32(block.qh), 16, c.q);
    return c;
}

inline Columns unpack(const BlockQ5_1& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    c.min[0] = c.min[1] = f16_to_f32(block.m);
    unpack_nibbles(block.qs, load_u32(block.qh), 0, c.q);
    return c;
}

inline Columns unpack(const BlockQ8_0& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    std::memcpy(c.q, block.qs, sizeof c.q);
    return c;
}

/// Group g (32 columns) of a superblock.
inline Columns unpack(const BlockQ4_K& block, std::size_t g) noexcept {
    int scale = 0;
    int min = 0;
    group_scale(block.scales, g, scale, min);
    Columns c{{}, {1, 1}, f16_to_f32(block.d) * static_cast<float>(scale), {}};
    c.min[0] = c.min[1] = -(f16_to_f32(block.dmin) * static_cast<float>(min));
    const std::uint8_t* qs = block.qs + g / 2 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
        c.q[l] = static_cast<std::int8_t>(g % 2 == 0 ? qs[l] & 15 : qs[l] >> 4);
    }
    return c;
}

inline Columns unpack(const BlockQ5_K& block, std::size_t g) noexcept {
    int scale = 0;
    int min = 0;
    group_scale(block.scales, g, scale, min);
    Columns c{{}, {1, 1}, f16_to_f32(block.d) * static_cast<float>(scale), {}};
    c.min[0] = c.min[1] = -(f16_to_f32(block.dmin) * static_cast<float>(min));
    const std::uint8_t* qs = block.qs + g / 2 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
        const int low = g % 2 == 0 ? qs[l] & 15 : qs[l] >> 4;
        c.q[l] = static_cast<std::int8_t>(low | ((block.qh[l] >> g) & 1) << 4);
    }
    return c;
}

inline Columns unpack(const BlockQ6_K& block, std::size_t g) noexcept {
    Columns c{{}, {block.scales[2 * g], block.scales[2 * g + 1]}, f16_to_f32(block.d), {}};
    const std::size_t half = g / 4;
    const std::size_t quarter = g % 4;
    const std::uint8_t* ql = block.ql + 64 * half + 32 * (quarter & 1);
    const std::uint8_t* qh = block.qh + 32 * half;
    for (std::size_t l = 0; l < 32; ++l) {
        const int low = quarter < 2 ? ql[l] & 15 : ql[l] >> 4;
        const int high = (qh[l] >> (2 * quarter)) & 3;
        c.q[l] = static_cast<std::int8_t>((low | high << 4) - 32);
    }
    return c;
}

/// The two-bit codes of group g that Q2_K and Q3_K share.
inline int two_bits(const std::uint8_t* qs, std::size_t g, std::size_t l) noexcept {
    return (qs[g / 4 * 32 + l] >> (2 * (g % 4))) & 3;
}

inline Columns unpack(const BlockQ2_K& block, std::size_t g) noexcept {
    Columns c{{}, {}, f16_to_f32(block.d), {}};
    const float dmin = f16_to_f32(block.dmin);
    for (std::size_t half = 0; half < 2; ++half) {
        const int scale = block.scales[2 * g + half];
        c.mul[half] = scale & 15;
        c.min[half] = -(dmin * static_cast<float>(scale >> 4));
    }
    for (std::size_t l = 0; l < 32; ++l) {
        c.q[l] = static_cast<std::int8_t>(two_bits(block.qs, g, l));
    }
    return c;
}

inline Columns unpack(const BlockQ3_K& block, std::size_t g) noexcept {
    Columns c{{}, {}, f16_to_f32(block.d), {}};
    for (std::size_t half = 0; half < 2; ++half) {
        const std::size_t i = 2 * g + half;
        const int low = i < 8 ? block.scales[i] & 15 : block.scales[i - 8] >> 4;
        const int high = (block.scales[8 + i % 4] >> (2 * (i / 4))) & 3;
        c.mul[half] = (low | high << 4) - 32;
    }
    for (std::size_t l = 0; l < 32; ++l) {
        const int high = (block.hmask[l] >> g) & 1;
        c.q[l] = static_cast<std::int8_t>((two_bits(block.qs, g, l) | high << 2) - 4);
    }
    return c;
}

inline void unpack_iq4(const std::uint8_t* qs, std::int8_t* q) noexcept {
    for (std::size_t j = 0; j < 16; ++j) {
        q[j] = kIq4Values[qs[j] & 15];
        q[j + 16] = kIq4Values[qs[j] >> 4];
    }
}

inline Columns unpack(const BlockIQ4_NL& block, std::size_t) noexcept {
    Columns c{{}, {1, 1}, f16_to_f32(block.d), {}};
    unpack_iq4(block.qs, c.q);
    return c;
}

inline Columns unpack(const BlockIQ4_XS& block, std::size_t g) noexcept {
    const int low = (block.scales_l[g / 2] >> (4 * (g % 2))) & 15;
    const int scale = (low | ((block.scales_h >> (2 * g)) & 3) << 4) - 32;
    Columns c{{}, {1, 1}, f16_to_f32(block.d) * static_cast<float>(scale), {}};
    unpack_iq4(block.qs + 16 * g, c.q);
    return c;
}

}  // namespace shoal::kernels::ref
