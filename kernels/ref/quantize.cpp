// Quantisers for writers and tools: blocks of 32 columns. Each takes its scale from the extreme
// values of the block, as the common reference quantisers do.
#include "kernels/ref/quantize.hpp"

#include <cassert>
#include <cstring>

#include "kernels/kernels.hpp"

namespace shoal::kernels {
namespace {

using ref::f32_to_f16;
using ref::half_scale;
using ref::inverse_or_zero;
using ref::nearest;

constexpr std::size_t kColumns = 32;

/// The value of largest magnitude, with its sign.
float extreme(const float* x) noexcept {
    float value = 0;
    for (std::size_t i = 0; i < kColumns; ++i) {
        if (std::fabs(x[i]) > std::fabs(value)) value = x[i];
    }
    return value;
}

/// The integers 0..2*zero-1 of a block without a minimum. The extreme value becomes 0, the one end
/// of the range that has no counterpart, so that the scale is as small as it can be.
float round_symmetric(const float* x, int zero, std::uint8_t* q) noexcept {
    const float d = extreme(x) / static_cast<float>(-zero);
    const float inverse = inverse_or_zero(d);
    for (std::size_t i = 0; i < kColumns; ++i) {
        q[i] = static_cast<std::uint8_t>(zero + nearest(x[i] * inverse, -zero, zero - 1));
    }
    return d;
}

struct Affine {
    float d;
    float min;
};

/// The integers 0..top of a block with a minimum.
Affine round_affine(const float* x, int top, std::uint8_t* q) noexcept {
    float min = x[0];
    float max = x[0];
    for (std::size_t i = 1; i < kColumns; ++i) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    const float d = (max - min) / static_cast<float>(top);
    const float inverse = inverse_or_zero(d);
    for (std::size_t i = 0; i < kColumns; ++i) {
        q[i] = static_cast<std::uint8_t>(nearest((x[i] - min) * inverse, 0, top));
    }
    return {d, min};
}

void pack_nibbles(const std::uint8_t* q, std::uint8_t* qs) noexcept {
    for (std::size_t j = 0; j < 16; ++j) {
        qs[j] = static_cast<std::uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
    }
}

void pack_fifth_bits(const std::uint8_t* q, std::uint8_t* qh) noexcept {
    for (std::size_t byte = 0; byte < 4; ++byte) {
        unsigned bits = 0;
        for (unsigned i = 0; i < 8; ++i) bits |= ((q[8 * byte + i] >> 4) & 1u) << i;
        qh[byte] = static_cast<std::uint8_t>(bits);
    }
}

void encode(const float* x, BlockQ4_0& block) noexcept {
    std::uint8_t q[kColumns];
    block.d = half_scale(round_symmetric(x, 8, q));
    pack_nibbles(q, block.qs);
}

void encode(const float* x, BlockQ4_1& block) noexcept {
    std::uint8_t q[kColumns];
    const Affine affine = round_affine(x, 15, q);
    block.d = half_scale(affine.d);
    block.m = half_scale(affine.min);
    pack_nibbles(q, block.qs);
}

void encode(const float* x, BlockQ5_0& block) noexcept {
    std::uint8_t q[kColumns];
    block.d = half_scale(round_symmetric(x, 16, q));
    pack_nibbles(q, block.qs);
    pack_fifth_bits(q, block.qh);
}

void encode(const float* x, BlockQ5_1& block) noexcept {
    std::uint8_t q[kColumns];
    const Affine affine = round_affine(x, 31, q);
    block.d = half_scale(affine.d);
    block.m = half_scale(affine.min);
    pack_nibbles(q, block.qs);
    pack_fifth_bits(q, block.qh);
}

void encode(const float* x, BlockQ8_0& block) noexcept {
    const float d = std::fabs(extreme(x)) / 127.0f;
    const float inverse = inverse_or_zero(d);
    block.d = half_scale(d);
    for (std::size_t i = 0; i < kColumns; ++i) {
        block.qs[i] = static_cast<std::int8_t>(nearest(x[i] * inverse, -127, 127));
    }
}

template <class Block>
void quantize_blocks(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kColumns; ++b) {
        Block block;
        encode(x + b * kColumns, block);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

template <std::uint16_t (*Convert)(float) noexcept>
void quantize_halves(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint16_t bits = Convert(x[i]);
        std::memcpy(out + 2 * i, &bits, sizeof bits);
    }
}

}  // namespace

void quantize(DType type, const float* x, std::byte* blocks, std::size_t n) noexcept {
    switch (type) {
        case DType::f32:
            std::memcpy(blocks, x, n * sizeof(float));
            return;
        case DType::f16:
            return quantize_halves<ref::f32_to_f16>(x, blocks, n);
        case DType::bf16:
            return quantize_halves<ref::f32_to_bf16>(x, blocks, n);
        case DType::q4_0:
            return quantize_blocks<BlockQ4_0>(x, blocks, n);
        case DType::q4_1:
            return quantize_blocks<BlockQ4_1>(x, blocks, n);
        case DType::q5_0:
            return quantize_blocks<BlockQ5_0>(x, blocks, n);
        case DType::q5_1:
            return quantize_blocks<BlockQ5_1>(x, blocks, n);
        case DType::q8_0:
            return quantize_blocks<BlockQ8_0>(x, blocks, n);
        case DType::q4_k:
            return ref::quantize_q4_k(x, blocks, n);
        case DType::q5_k:
            return ref::quantize_q5_k(x, blocks, n);
        case DType::q6_k:
            return ref::quantize_q6_k(x, blocks, n);
        case DType::q2_k:
            return ref::quantize_q2_k(x, blocks, n);
        case DType::q3_k:
            return ref::quantize_q3_k(x, blocks, n);
        case DType::iq4_nl:
            return ref::quantize_iq4_nl(x, blocks, n);
        case DType::iq4_xs:
            return ref::quantize_iq4_xs(x, blocks, n);
    }
    assert(false && "quantize: unknown type");
}

}  // namespace shoal::kernels
