#include "daemon/exec/q16.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

namespace shoal::exec {
namespace {

constexpr std::size_t kBlockNumbers = std::size(Q16Block{}.q);
constexpr int kLeastExponent = -126;  // of a normal float
constexpr int kMostExponent = 127;

// 2^e of a normal float.
float power_of_two(int e) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
}

// Nearest, ties to even, for |x| up to 2^15: above 3 * 2^22 a float has no fraction.
float rounded(float x) noexcept {
    constexpr float kWhole = 3 << 22;
    return (x + kWhole) - kWhole;
}

}  // namespace

void quantize_q16(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n; b += kBlockNumbers, out += sizeof(Q16Block)) {
        // Of magnitudes the bits compare as the numbers do, NaN above infinity.
        std::int32_t most = 0;
        for (std::size_t i = 0; i < kBlockNumbers; ++i) {
            most = std::max(most, std::bit_cast<std::int32_t>(x[b + i]) & 0x7fffffff);
        }
        Q16Block block{kQ16NotFinite, {}};
        if (const int exponent = (most >> 23) - 127; exponent <= kMostExponent) {
            block.exponent = static_cast<std::int16_t>(std::max(exponent - 14, kLeastExponent));
            const float inverse = power_of_two(-block.exponent);
            for (std::size_t i = 0; i < kBlockNumbers; ++i) {
                const float q = rounded(x[b + i] * inverse);
                block.q[i] = static_cast<std::int16_t>(std::clamp(q, -32767.0F, 32767.0F));
            }
        }
        std::memcpy(out, &block, sizeof block);
    }
}

void accumulate_q16(const std::byte* in, float* y, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n; b += kBlockNumbers, in += sizeof(Q16Block)) {
        Q16Block block;
        std::memcpy(&block, in, sizeof block);
        const bool finite = block.exponent >= kLeastExponent && block.exponent <= kMostExponent;
        const float scale =
            finite ? power_of_two(block.exponent) : std::numeric_limits<float>::quiet_NaN();
        for (std::size_t i = 0; i < kBlockNumbers; ++i)
            y[b + i] += static_cast<float>(block.q[i]) * scale;
    }
}

}  // namespace shoal::exec
