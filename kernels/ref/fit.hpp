// Scales of least weighted squared error, for the quantisers of superblocks.
//
// For a fan of scales round the obvious one: round the values, solve for the scale (and minimum)
// that fit those integers best, keep the best fit.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/ref/quantize.hpp"

namespace shoal::kernels::ref {

/// value ~ scale * q - min, q in 0..top.
struct Fit {
    float scale = 0;  ///< at least 0
    float min = 0;    ///< subtracted; at least 0
};

/// Weights of the squared errors: larger values matter more, as their products are larger.
inline void weigh(const float* x, std::size_t n, float* weights) noexcept {
    float squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += x[i] * x[i];
    const float rms = std::sqrt(squares / static_cast<float>(n));
    for (std::size_t i = 0; i < n; ++i) weights[i] = rms + std::fabs(x[i]);
}

/// The weighted squared error of rounding under `fit`.
inline double fit_error(const float* x, const float* weights, std::size_t n, const Fit& fit,
                        int top) noexcept {
    const float inverse = inverse_or_zero(fit.scale);
    double error = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const int q = nearest((x[i] + fit.min) * inverse, 0, top);
        const double miss = static_cast<double>(fit.scale) * q - fit.min - x[i];
        error += weights[i] * miss * miss;
    }
    return error;
}

/// The scale and minimum of a group of n values; it solves `rounds` times from each trial scale,
/// rounding under the last solution.
Fit fit_affine(const float* x, const float* weights, std::size_t n, int top, int rounds) noexcept;

/// The scale of n values as integers -levels..levels-1; of either sign.
float fit_symmetric(const float* x, const float* weights, std::size_t n, int levels) noexcept;

/// The value of largest magnitude, with its sign; 0 when there is none or it is not finite.
inline float finite_extreme(const float* x, std::size_t n) noexcept {
    float extreme = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
    }
    return std::isfinite(extreme) ? extreme : 0.0f;
}

}  // namespace shoal::kernels::ref
