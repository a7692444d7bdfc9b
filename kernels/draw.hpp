// The hash that draws tokens at random: plain integers, the same on every device.
#pragma once

#include <cstdint>

namespace shoal::kernels {

/// What the hash of a step's tokens depends on beside the token.
struct DrawKey {
    std::uint32_t first;
    std::uint32_t second;
};

inline constexpr std::uint32_t kDrawMultipliers[] = {0x7feb352d, 0x846ca68b};

/// A bijection of 32 bits that spreads every input bit over all of them; multipliers and shifts
/// are C. Wellons's "lowbias32" (public domain).
[[gnu::always_inline]] constexpr std::uint32_t draw_mix(std::uint32_t x) noexcept {
    x ^= x >> 16;
    x *= kDrawMultipliers[0];
    x ^= x >> 15;
    x *= kDrawMultipliers[1];
    return x ^ (x >> 16);
}

/// Inlined everywhere: a copy made in an ISA's file must not serve other CPUs.
/// 32 random bits of a token. Tokens of one key never share them.
[[gnu::always_inline]] constexpr std::uint32_t draw_hash(DrawKey key,
                                                         std::uint32_t token) noexcept {
    return draw_mix(draw_mix(token ^ key.first) ^ key.second);
}

}  // namespace shoal::kernels
