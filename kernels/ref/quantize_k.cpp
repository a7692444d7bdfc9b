// Quantisers for writers and tools: Q4_K, Q5_K and Q6_K.
//
// Each group first gets the scale (and minimum) of least weighted squared error (kernels/ref/fit).
// The group scales are then rounded to integers under the superblock's f16 scales, and the values
// are rounded once more under what a reader will see.
#include <cstring>

#include "kernels/ref/fit.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels::ref {
namespace {

constexpr std::size_t kGroup = 32;
constexpr std::size_t kGroups = kSuperblock / kGroup;

Fit fit_group(const float* x, int top) noexcept {
    float weights[kGroup];
    weigh(x, kGroup, weights);
    return fit_affine(x, weights, kGroup, top, 1);
}

/// Both six-bit numbers of each group, in the order that group_scale() reads.
void pack_group_scales(const int* scale, const int* min, std::uint8_t* packed) noexcept {
    for (std::size_t g = 0; g < 4; ++g) {
        packed[g] = static_cast<std::uint8_t>(scale[g] | (scale[g + 4] >> 4) << 6);
        packed[g + 4] = static_cast<std::uint8_t>(min[g] | (min[g + 4] >> 4) << 6);
        packed[g + 8] = static_cast<std::uint8_t>((scale[g + 4] & 15) | (min[g + 4] & 15) << 4);
    }
}

/// d, dmin, scales and the integers of one Q4_K (top 15) or Q5_K (top 31) superblock.
template <class Block>
void fit_superblock(const float* x, int top, Block& block, std::uint8_t* q) noexcept {
    Fit fits[kGroups];
    float max_scale = 0;
    float max_min = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
        fits[g] = fit_group(x + g * kGroup, top);
        max_scale = fits[g].scale > max_scale ? fits[g].scale : max_scale;
        max_min = fits[g].min > max_min ? fits[g].min : max_min;
    }
    block.d = half_scale(max_scale / 63.0f);
    block.dmin = half_scale(max_min / 63.0f);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    int scale[kGroups];
    int min[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
        scale[g] = nearest(fits[g].scale * inverse_or_zero(d), 0, 63);
        min[g] = nearest(fits[g].min * inverse_or_zero(dmin), 0, 63);
        const float step = inverse_or_zero(d * static_cast<float>(scale[g]));
        const float offset = dmin * static_cast<float>(min[g]);
        for (std::size_t i = 0; i < kGroup; ++i) {
            const std::size_t c = g * kGroup + i;
            q[c] = static_cast<std::uint8_t>(nearest((x[c] + offset) * step, 0, top));
        }
    }
    pack_group_scales(scale, min, block.scales);
}

void pack_pairs(const std::uint8_t* q, std::uint8_t* qs) noexcept {
    for (std::size_t pair = 0; pair < kGroups / 2; ++pair) {
        for (std::size_t l = 0; l < kGroup; ++l) {
            const unsigned low = q[64 * pair + l] & 15u;
            const unsigned high = q[64 * pair + 32 + l] & 15u;
            qs[32 * pair + l] = static_cast<std::uint8_t>(low | high << 4);
        }
    }
}

/// The scale of 16 values in -32..31, the squares weighted by x^2.
float fit_sixteen(const float* x) noexcept {
    float weights[16];
    for (std::size_t i = 0; i < 16; ++i) weights[i] = x[i] * x[i];
    return fit_symmetric(x, weights, 16, 32);
}

void encode(const float* x, BlockQ6_K& block) noexcept {
    float fits[16];
    float extreme = 0;
    for (std::size_t g = 0; g < 16; ++g) {
        fits[g] = fit_sixteen(x + 16 * g);
        if (std::fabs(fits[g]) > std::fabs(extreme)) extreme = fits[g];
    }
    block.d = half_scale(extreme / -128.0f);
    const float d = f16_to_f32(block.d);
    std::uint8_t q[kSuperblock];
    for (std::size_t g = 0; g < 16; ++g) {
        block.scales[g] =
            static_cast<std::int8_t>(nearest(fits[g] * inverse_or_zero(d), -128, 127));
        const float step = inverse_or_zero(d * static_cast<float>(block.scales[g]));
        for (std::size_t i = 16 * g; i < 16 * g + 16; ++i) {
            q[i] = static_cast<std::uint8_t>(32 + nearest(x[i] * step, -32, 31));
        }
    }
    for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t l = 0; l < 32; ++l) {
            const std::uint8_t* v = q + 128 * half + l;
            std::uint8_t* ql = block.ql + 64 * half + l;
            ql[0] = static_cast<std::uint8_t>((v[0] & 15) | (v[64] & 15) << 4);
            ql[32] = static_cast<std::uint8_t>((v[32] & 15) | (v[96] & 15) << 4);
            block.qh[32 * half + l] = static_cast<std::uint8_t>(
                v[0] >> 4 | (v[32] >> 4) << 2 | (v[64] >> 4) << 4 | (v[96] >> 4) << 6);
        }
    }
}

}  // namespace

void quantize_q4_k(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kSuperblock; ++b) {
        BlockQ4_K block;
        std::uint8_t q[kSuperblock];
        fit_superblock(x + b * kSuperblock, 15, block, q);
        pack_pairs(q, block.qs);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

void quantize_q5_k(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kSuperblock; ++b) {
        BlockQ5_K block;
        std::uint8_t q[kSuperblock];
        fit_superblock(x + b * kSuperblock, 31, block, q);
        pack_pairs(q, block.qs);
        for (std::size_t l = 0; l < 32; ++l) {
            unsigned bits = 0;
            for (unsigned g = 0; g < kGroups; ++g) bits |= (q[32 * g + l] >> 4 & 1u) << g;
            block.qh[l] = static_cast<std::uint8_t>(bits);
        }
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

void quantize_q6_k(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kSuperblock; ++b) {
        BlockQ6_K block;
        encode(x + b * kSuperblock, block);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

}  // namespace shoal::kernels::ref
