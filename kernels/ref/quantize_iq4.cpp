// Quantisers for writers and tools: the non-linear types of four bits. Their sixteen values lie
// closer together near zero, so which scale fits best shows only when the values are rounded: a fan
// of scales is tried with either end of the values on the extreme, each solved for its least
// weighted squared error.
#include <cstring>
#include <iterator>

#include "kernels/ref/fit.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels::ref {
namespace {

constexpr std::size_t kGroup = 32;
constexpr std::size_t kGroups = kSuperblock / kGroup;

/// Half-way between neighbouring values.
struct Middles {
    float at[15];
    constexpr Middles() noexcept : at() {
        for (std::size_t i = 0; i < std::size(at); ++i) {
            at[i] = 0.5f * static_cast<float>(kIq4Values[i] + kIq4Values[i + 1]);
        }
    }
};
constexpr Middles kMiddles;

/// The code whose value is nearest to v; that of the least magnitude for a NaN.
int nearest_code(float v) noexcept {
    if (std::isnan(v)) v = 0;
    int code = v > kMiddles.at[7] ? 8 : 0;
    code += v > kMiddles.at[code + 3] ? 4 : 0;
    code += v > kMiddles.at[code + 1] ? 2 : 0;
    return code + (v > kMiddles.at[code] ? 1 : 0);
}

/// The best scale for the codes that values * inverse round to, and by how much the weighted
/// squared error falls with it.
struct Solution {
    double scale = 0;
    double gain = -1;
};

Solution solve(const float* x, const float* weights, float inverse) noexcept {
    double wqx = 0, wqq = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const double q = kIq4Values[nearest_code(x[i] * inverse)];
        const double weight = weights[i];
        wqx += weight * q * x[i];
        wqq += weight * q * q;
    }
    if (!(wqq > 0)) return {};
    return {wqx / wqq, wqx * wqx / wqq};
}

float fit_scale(const float* x, const float* weights) noexcept {
    const float extreme = finite_extreme(x, kGroup);
    if (!(std::fabs(extreme) > 0)) return 0;
    Solution best;
    constexpr int kSteps = 7;
    constexpr int kEnds[] = {kIq4Values[0], kIq4Values[15]};
    for (const int end : kEnds) {
        for (int step = -kSteps; step <= kSteps; ++step) {
            const Solution s = solve(x, weights, static_cast<float>(end + 2 * step) / extreme);
            if (s.gain > best.gain) best = s;
        }
    }
    return static_cast<float>(best.scale);
}

void put_codes(const float* x, float inverse, std::uint8_t* qs) noexcept {
    for (std::size_t j = 0; j < 16; ++j) {
        const int low = nearest_code(x[j] * inverse);
        const int high = nearest_code(x[j + 16] * inverse);
        qs[j] = static_cast<std::uint8_t>(low | high << 4);
    }
}

/// The six-bit integer scale of least error of an IQ4_XS group under d.
int round_scale(const float* x, const float* weights, float fit, float d) noexcept {
    const int scale = nearest(fit * inverse_or_zero(d), -32, 31);
    int best = scale;
    double best_error = -1;
    for (int s = scale > -32 ? scale - 1 : -32; s <= scale + 1 && s <= 31; ++s) {
        const float step = d * static_cast<float>(s);
        const float inverse = inverse_or_zero(step);
        double error = 0;
        for (std::size_t i = 0; i < kGroup; ++i) {
            const double value =
                static_cast<double>(step) * kIq4Values[nearest_code(x[i] * inverse)];
            error += weights[i] * (value - x[i]) * (value - x[i]);
        }
        if (best_error < 0 || error < best_error) {
            best = s;
            best_error = error;
        }
    }
    return best;
}

void encode(const float* x, BlockIQ4_XS& block) noexcept {
    float weights[kSuperblock];
    float fits[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
        weigh(x + g * kGroup, kGroup, weights + g * kGroup);
        fits[g] = fit_scale(x + g * kGroup, weights + g * kGroup);
    }
    block.d = half_scale(finite_extreme(fits, kGroups) / -32.0f);
    const float d = f16_to_f32(block.d);
    unsigned high = 0;
    std::memset(block.scales_l, 0, sizeof block.scales_l);
    for (std::size_t g = 0; g < kGroups; ++g) {
        const float* group = x + g * kGroup;
        const int scale = round_scale(group, weights + g * kGroup, fits[g], d);
        const int code = scale + 32;
        block.scales_l[g / 2] |= static_cast<std::uint8_t>((code & 15) << (4 * (g % 2)));
        high |= static_cast<unsigned>(code >> 4) << (2 * g);
        put_codes(group, inverse_or_zero(d * static_cast<float>(scale)), block.qs + 16 * g);
    }
    block.scales_h = static_cast<std::uint16_t>(high);
}

}  // namespace

void quantize_iq4_nl(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kGroup; ++b) {
        const float* group = x + b * kGroup;
        float weights[kGroup];
        weigh(group, kGroup, weights);
        BlockIQ4_NL block;
        block.d = half_scale(fit_scale(group, weights));
        put_codes(group, inverse_or_zero(f16_to_f32(block.d)), block.qs);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

void quantize_iq4_xs(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kSuperblock; ++b) {
        BlockIQ4_XS block;
        encode(x + b * kSuperblock, block);
        std::memcpy(out + b * sizeof block, &block, sizeof block);
    }
}

}  // namespace shoal::kernels::ref
