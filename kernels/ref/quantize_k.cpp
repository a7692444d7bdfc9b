// Quantisers for writers and tools: K-quant superblocks.
//
// Each group first gets the scale (and minimum) of least weighted squared error: for a fan of
// scales round the obvious one, round the values, then solve for the scale and minimum that fit
// those integers best, and keep the best fit. The group scales are then rounded to integers under
// the superblock's f16 scales, and the values are rounded once more under what a reader will see.
#include <cstring>

#include "kernels/ref/quantize.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels::ref {
namespace {

constexpr std::size_t kGroup = 32;
constexpr std::size_t kGroups = kSuperblock / kGroup;

struct Fit {
    float scale = 0;  ///< at least 0
    float min = 0;    ///< subtracted; at least 0
};

/// Larger values matter more: their products are larger.
void weigh(const float* x, float* weights) noexcept {
    float squares = 0;
    for (std::size_t i = 0; i < kGroup; ++i) squares += x[i] * x[i];
    const float rms = std::sqrt(squares / static_cast<float>(kGroup));
    for (std::size_t i = 0; i < kGroup; ++i) weights[i] = rms + std::fabs(x[i]);
}

double fit_error(const float* x, const float* weights, const Fit& fit, int top) noexcept {
    const float inverse = inverse_or_zero(fit.scale);
    double error = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const int q = nearest((x[i] + fit.min) * inverse, 0, top);
        const double miss = static_cast<double>(fit.scale) * q - fit.min - x[i];
        error += weights[i] * miss * miss;
    }
    return error;
}

/// The least-squares scale and minimum for the integers that `trial` rounds to.
Fit solve(const float* x, const float* weights, const Fit& trial, int top) noexcept {
    const float inverse = inverse_or_zero(trial.scale);
    double w = 0, wx = 0, wq = 0, wqq = 0, wqx = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const double q = nearest((x[i] + trial.min) * inverse, 0, top);
        w += weights[i];
        wx += static_cast<double>(weights[i]) * x[i];
        wq += weights[i] * q;
        wqq += weights[i] * q * q;
        wqx += weights[i] * q * x[i];
    }
    const double determinant = w * wqq - wq * wq;
    if (!(determinant > 0)) return trial;
    const double scale = (w * wqx - wq * wx) / determinant;
    const double min = (wq * wqx - wqq * wx) / determinant;
    if (min >= 0) return {static_cast<float>(scale), static_cast<float>(min)};
    // The format can only subtract, so the best is then to subtract nothing.
    return {static_cast<float>(wqx / wqq), 0.0f};
}

Fit fit_group(const float* x, int top) noexcept {
    float low = 0;  // a minimum above zero cannot be stored
    float high = x[0];
    for (std::size_t i = 0; i < kGroup; ++i) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float range = high - low;
    if (!(range > 0) || !std::isfinite(range)) return {0, -low};
    float weights[kGroup];
    weigh(x, weights);
    Fit best{range / static_cast<float>(top), -low};
    double best_error = fit_error(x, weights, best, top);
    // Fewer steps than `top` clip nothing but waste codes, more steps clip the outermost values.
    constexpr int kSteps = 20;
    for (int step = 0; step <= kSteps; ++step) {
        const float steps = static_cast<float>(top) - 1.0f + 0.1f * static_cast<float>(step);
        const Fit fit = solve(x, weights, {range / steps, -low}, top);
        if (!(fit.scale > 0)) continue;
        const double error = fit_error(x, weights, fit, top);
        if (error < best_error) {
            best = fit;
            best_error = error;
        }
    }
    return best;
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

/// The scale of least weighted squared error of 16 values in -32..31.
float fit_sixteen(const float* x) noexcept {
    float extreme = 0;
    for (std::size_t i = 0; i < 16; ++i) {
        if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
    }
    if (!(std::fabs(extreme) > 0) || !std::isfinite(extreme)) return 0;
    float best = extreme / -32.0f;
    double best_gain = -1;
    constexpr int kSteps = 9;
    for (int step = -kSteps; step <= kSteps; ++step) {
        const float inverse = -(32.0f + 0.1f * static_cast<float>(step)) / extreme;
        double wqx = 0, wqq = 0;
        for (std::size_t i = 0; i < 16; ++i) {
            const double q = nearest(x[i] * inverse, -32, 31);
            const double weight = static_cast<double>(x[i]) * x[i];
            wqx += weight * q * x[i];
            wqq += weight * q * q;
        }
        // With the best scale wqx / wqq the error falls by wqx^2 / wqq.
        if (wqq > 0 && wqx * wqx / wqq > best_gain) {
            best_gain = wqx * wqx / wqq;
            best = static_cast<float>(wqx / wqq);
        }
    }
    return best;
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
