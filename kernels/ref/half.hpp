// Scalar conversions between f32 and the 16-bit floats.
#pragma once

#include <bit>
#include <cstdint>

namespace shoal::kernels::ref {

/// Exact. A signalling NaN becomes quiet and keeps its payload, as the CPUs' instructions do.
inline float f16_to_f32(std::uint16_t h) noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
    const std::uint32_t exponent = (h >> 10) & 0x1fu;
    const std::uint32_t mantissa = h & 0x3ffu;
    if (exponent == 0x1fu) {
        const std::uint32_t quiet = mantissa != 0 ? 0x00400000u : 0u;
        return std::bit_cast<float>(sign | 0x7f800000u | quiet | mantissa << 13);
    }
    if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
    // Zero and subnormals: mantissa * 2^-24 is exact in f32.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

/// Rounds to nearest even; beyond the largest f16 to infinity. A NaN becomes quiet and keeps the
/// upper bits of its payload.
inline std::uint16_t f32_to_f16(float value) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const auto with_sign = [sign](std::uint32_t half) {
        return static_cast<std::uint16_t>(sign | half);
    };
    if (magnitude > 0x7f800000u) return with_sign(0x7e00u | ((magnitude >> 13) & 0x3ffu));
    // 65520 is half-way between the largest f16 and the next power of two, and rounds up.
    if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);
    if (magnitude >= 0x38800000u) {
        // Normal: rebias the exponent, then round the 13 dropped bits to nearest even. A carry
        // out of the mantissa is what the exponent needs.
        const std::uint32_t odd = (magnitude >> 13) & 1u;
        return with_sign((magnitude - 0x38000000u + 0xfffu + odd) >> 13);
    }
    // Subnormal or zero: adding 0.5 makes the f32 adder round at 2^-24, in the default mode.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return with_sign(std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u);
}

/// Exact.
inline float bf16_to_f32(std::uint16_t b) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(b) << 16);
}

/// Rounds to nearest even; a NaN becomes quiet.
inline std::uint16_t f32_to_bf16(float value) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
    return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace shoal::kernels::ref
