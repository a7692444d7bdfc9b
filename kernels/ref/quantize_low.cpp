// Quantisers for writers and tools: the superblocks of two and three bits.
//
// As in quantize_k.cpp, but rounding a group's scale to four or six bits costs as much here as
// rounding its values: so the integers next to it are tried too, and the best of them kept.
#include <cstring>

#include "kernels/ref/fit.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels::ref {
namespace {

constexpr std::size_t kGroup = 16;
constexpr std::size_t kGroups = kSuperblock / kGroup;

/// The integer scale and minimum of a Q2_K group under d and dmin.
struct Nibbles {
    int scale;
    int min;
};

Nibbles round_fit(const float* x, const float* weights, const Fit& fit, float d,
                  float dmin) noexcept {
    const int scale = nearest(fit.scale * inverse_or_zero(d), 0, 15);
    const int min = nearest(fit.min * inverse_or_zero(dmin), 0, 15);
    Nibbles best{scale, min};
    double best_error = -1;
    for (int s = scale > 0 ? scale - 1 : 0; s <= scale + 1 && s <= 15; ++s) {
        for (int m = min > 0 ? min - 1 : 0; m <= min + 1 && m <= 15; ++m) {
            const Fit rounded{d * static_cast<float>(s), dmin * static_cast<float>(m)};
            const double error = fit_error(x, weights, kGroup, rounded, 3);
            if (best_error < 0 || error < best_error) {
                best = {s, m};
                best_error = error;
            }
        }
    }
    return best;
}

/// Two-bit codes as Q2_K and Q3_K have them.
void pack_two_bits(const std::uint8_t* q, std::uint8_t* qs) noexcept {
    for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t l = 0; l < 32; ++l) {
            const std::uint8_t* v = q + 128 * half + l;
            qs[32 * half + l] = static_cast<std::uint8_t>((v[0] & 3) | (v[32] & 3) << 2 |
                                                          (v[64] & 3) << 4 | (v[96] & 3) << 6);
        }
    }
}

void encode(const float* x, BlockQ2_K& block) noexcept {
    float weights[kSuperblock];
    Fit fits[kGroups];
    float max_scale = 0;
    float max_min = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
        const std::size_t first = g * kGroup;
        weigh(x + first, kGroup, weights + first);
        // With four codes a second solution still gains.
        fits[g] = fit_affine(x + first, weights + first, kGroup, 3, 2);
        max_scale = fits[g].scale > max_scale ? fits[g].scale : max_scale;
        max_min = fits[g].min > max_min ? fits[g].min : max_min;
    }
    block.d = half_scale(max_scale / 15.0f);
    block.dmin = half_scale(max_min / 15.0f);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    std::uint8_t q[kSuperblock];
    for (std::size_t g = 0; g < kGroups; ++g) {
        const std::size_t first = g * kGroup;
        const Nibbles n = round_fit(x + first, weights + first, fits[g], d, dmin);
        block.scales[g] = static_cast<std::uint8_t>(n.scale | n.min << 4);
        const float step = inverse_or_zero(d * static_cast<float>(n.scale));
        const float offset = dmin * static_cast<float>(n.min);
        for (std::size_t i = first; i < first + kGroup; ++i) {
            q[i] = static_cast<std::uint8_t>(nearest((x[i] + offset) * step, 0, 3));
        }
    }
    pack_two_bits(q, block.qs);
}

/// The six-bit integer scale of least error of a Q3_K group under d.
int round_scale(const float* x, const float* weights, float fit, float d) noexcept {
    const int scale = nearest(fit * inverse_or_zero(d), -32, 31);
    int best = scale;
    double best_error = -1;
    for (int s = scale > -32 ? scale - 1 : -32; s <= scale + 1 && s <= 31; ++s) {
        const float step = d * static_cast<float>(s);
        const float inverse = inverse_or_zero(step);
        double error = 0;
        for (std::size_t i = 0; i < kGroup; ++i) {
            const double miss = static_cast<double>(step) * nearest(x[i] * inverse, -4, 3) - x[i];
            error += weights[i] * miss * miss;
        }
        if (best_error < 0 || error < best_error) {
            best = s;
            best_error = error;
        }
    }
    return best;
}

void encode(const float* x, BlockQ3_K& block) noexcept {
    float weights[kSuperblock];
    float fits[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
        weigh(x + g * kGroup, kGroup, weights + g * kGroup);
        fits[g] = fit_symmetric(x + g * kGroup, weights + g * kGroup, kGroup, 4);
    }
    block.d = half_scale(finite_extreme(fits, kGroups) / -32.0f);
    const float d = f16_to_f32(block.d);
    std::memset(block.scales, 0, sizeof block.scales);
    std::memset(block.hmask, 0, sizeof block.hmask);
    std::uint8_t q[kSuperblock];
    for (std::size_t g = 0; g < kGroups; ++g) {
        const int scale = round_scale(x + g * kGroup, weights + g * kGroup, fits[g], d);
        const int code = scale + 32;
        block.scales[g % 8] |= static_cast<std::uint8_t>((code & 15) << (g < 8 ? 0 : 4));
        block.scales[8 + g % 4] |= static_cast<std::uint8_t>((code >> 4) << (2 * (g / 4)));
        const float step = inverse_or_zero(d * static_cast<float>(scale));
        for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
            q[i] = static_cast<std::uint8_t>(4 + nearest(x[i] * step, -4, 3));
            block.hmask[i % 32] |= static_cast<std::uint8_t>((q[i] >> 2) << (i / 32));
        }
    }
    pack_two_bits(q, block.qs);
}

template <class Block>
void quantize_superblocks(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kSuperblock; ++b) {
        Block block;
        encode(x + b * kSuperblock, block);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

}  // namespace

void quantize_q2_k(const float* x, std::byte* out, std::size_t n) noexcept {
    quantize_superblocks<BlockQ2_K>(x, out, n);
}

void quantize_q3_k(const float* x, std::byte* out, std::size_t n) noexcept {
    quantize_superblocks<BlockQ3_K>(x, out, n);
}

}  // namespace shoal::kernels::ref
