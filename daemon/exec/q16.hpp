// Partial sums in 16 bits a value under a scale of their own for each block.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::exec {

/// A block of 32 values q * 2^exponent. The scale is a power of two: q times it is exact in f32, so
/// every device reads the same numbers, whatever its instruction set.
struct Q16Block {
    std::int16_t exponent;  ///< -126..113, or kQ16NotFinite
    std::int16_t q[32];
};
static_assert(sizeof(Q16Block) == 66);

/// The exponent of a block that holds a NaN or an infinity; it reads as NaN.
inline constexpr std::int16_t kQ16NotFinite = 0x7fff;

/// x (n,) to n / 32 blocks. The largest |x| of a block lies in [2^14, 2^15) steps and the error
/// within half a step; a whole one where q would be 2^15. Requires: n % 32 == 0.
void quantize_q16(const float* x, std::byte* out, std::size_t n) noexcept;

/// y[i] += the values, one rounding each. `in` needs no alignment. Requires: n % 32 == 0.
void accumulate_q16(const std::byte* in, float* y, std::size_t n) noexcept;

}  // namespace shoal::exec
