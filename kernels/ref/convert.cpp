// Conversions between f32 and what travels or lies in memory: f16, Q8_0, activation blocks.
// All of these are bit-equal on every ISA.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/blocks.hpp"
#include "kernels/ref/half.hpp"
#include "kernels/ref/ref.hpp"
#include "kernels/rounding.hpp"

namespace shoal::kernels::ref {
namespace {

/// Bits of max |x| over a block. As integers, magnitudes order like the numbers, infinity lies
/// above them and every NaN above infinity, so a poisoned block cannot go unseen.
std::uint32_t max_magnitude(const float* x) noexcept {
    std::uint32_t max = 0;
    for (std::size_t i = 0; i < kActivationBlock; ++i) {
        const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu;
        max = magnitude > max ? magnitude : max;
    }
    return max;
}

}  // namespace

void f32_to_f16(const float* x, std::uint16_t* out, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = f32_to_f16(x[i]);
}

void f16_to_f32(const std::uint16_t* x, float* out, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = f16_to_f32(x[i]);
}

void quantize_activations(const float* x, ActivationBlock* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kActivationBlock; ++b, x += kActivationBlock) {
        ActivationBlock& block = out[b];
        block = {};
        const std::uint32_t magnitude = max_magnitude(x);
        if (magnitude >= kInfinityBits || magnitude < kTinyBits) {
            block.d = magnitude >= kInfinityBits ? std::bit_cast<float>(kNanBits) : 0.0f;
            block.sum = block.d;
            continue;
        }
        const float max = std::bit_cast<float>(magnitude);
        const float inverse = 127.0f / max;
        for (std::size_t i = 0; i < kActivationBlock; ++i) {
            const int q = static_cast<int>(std::nearbyintf(x[i] * inverse));
            block.qs[i] = static_cast<std::int8_t>(q);
            block.minus_sum -= q;
            if (i >= kActivationBlock / 2) block.minus_tail -= q;
        }
        block.d = max / 127.0f;
        block.sum = block.d * static_cast<float>(-block.minus_sum);
    }
}

void quantize_q8_0(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, x += 32, out += sizeof(BlockQ8_0)) {
        BlockQ8_0 block{};
        const std::uint32_t magnitude = max_magnitude(x);
        if (magnitude >= kInfinityBits) {
            block.d = kNanHalf;
        } else {
            const float scale = std::bit_cast<float>(magnitude) / 127.0f;
            block.d = f32_to_f16(scale > kMaxHalf ? kMaxHalf : scale);
            // The rounded scale is what the reader multiplies by, so it is what divides here.
            const float d = f16_to_f32(block.d);
            const float inverse = d > 0 ? 1.0f / d : 0.0f;
            for (std::size_t i = 0; i < 32; ++i) {
                float q = x[i] * inverse;
                q = q > 127.0f ? 127.0f : q;
                q = q < -127.0f ? -127.0f : q;
                block.qs[i] = static_cast<std::int8_t>(std::nearbyintf(q));
            }
        }
        std::memcpy(out, &block, sizeof block);
    }
}

void accumulate_q8_0(const std::byte* x, float* acc, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, acc += 32, x += sizeof(BlockQ8_0)) {
        BlockQ8_0 block;
        std::memcpy(&block, x, sizeof block);
        const float d = f16_to_f32(block.d);
        // An 11-bit mantissa times a 7-bit integer is exact: the addition is the one rounding.
        for (std::size_t i = 0; i < 32; ++i) acc[i] += d * static_cast<float>(block.qs[i]);
    }
}

void accumulate_f16(const std::uint16_t* x, float* acc, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) acc[i] += f16_to_f32(x[i]);
}

}  // namespace shoal::kernels::ref
