// What the quantisers of files share.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/blocks.hpp"
#include "kernels/ref/half.hpp"
#include "kernels/rounding.hpp"

namespace shoal::kernels::ref {

/// A scale as f16, capped so that finite weights give finite blocks.
inline f16_bits half_scale(float value) noexcept {
    const float capped = value > kMaxHalf ? kMaxHalf : value < -kMaxHalf ? -kMaxHalf : value;
    return f32_to_f16(capped);
}

/// The integer nearest to value, ties away from zero, within [low, high]; zero, or what lies
/// nearest to it, for a NaN.
inline int nearest(float value, int low, int high) noexcept {
    if (std::isnan(value)) value = 0;
    if (value <= static_cast<float>(low)) return low;
    if (value >= static_cast<float>(high)) return high;
    // As roundf, which costs a call where the CPU's baseline cannot round.
    const int whole = static_cast<int>(value);
    const float rest = value - static_cast<float>(whole);
    return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

/// 1 / d, or 0 where that is not finite: such a block is all zeros.
inline float inverse_or_zero(float d) noexcept {
    const float inverse = 1.0f / d;
    return std::isfinite(inverse) ? inverse : 0.0f;
}

void quantize_q2_k(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_q3_k(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_q4_k(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_q5_k(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_q6_k(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_iq4_nl(const float* x, std::byte* out, std::size_t n) noexcept;
void quantize_iq4_xs(const float* x, std::byte* out, std::size_t n) noexcept;

}  // namespace shoal::kernels::ref
