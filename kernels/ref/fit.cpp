#include "kernels/ref/fit.hpp"

namespace shoal::kernels::ref {
namespace {

/// The least-squares scale and minimum for the integers that `trial` rounds to.
Fit solve(const float* x, const float* weights, std::size_t n, const Fit& trial, int top) noexcept {
    const float inverse = inverse_or_zero(trial.scale);
    double w = 0, wx = 0, wq = 0, wqq = 0, wqx = 0;
    for (std::size_t i = 0; i < n; ++i) {
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

}  // namespace

Fit fit_affine(const float* x, const float* weights, std::size_t n, int top, int rounds) noexcept {
    float low = 0;  // a minimum above zero cannot be stored
    float high = x[0];
    for (std::size_t i = 0; i < n; ++i) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float range = high - low;
    if (!(range > 0) || !std::isfinite(range)) return {0, -low};
    Fit best{range / static_cast<float>(top), -low};
    double best_error = fit_error(x, weights, n, best, top);
    // Fewer steps than `top` clip nothing but waste codes, more steps clip the outermost values.
    constexpr int kSteps = 20;
    for (int step = 0; step <= kSteps; ++step) {
        const float steps = static_cast<float>(top) - 1.0f + 0.1f * static_cast<float>(step);
        Fit fit{range / steps, -low};
        for (int round = 0; round < rounds; ++round) fit = solve(x, weights, n, fit, top);
        if (!(fit.scale > 0)) continue;
        const double error = fit_error(x, weights, n, fit, top);
        if (error < best_error) {
            best = fit;
            best_error = error;
        }
    }
    return best;
}

float fit_symmetric(const float* x, const float* weights, std::size_t n, int levels) noexcept {
    const float extreme = finite_extreme(x, n);
    if (!(std::fabs(extreme) > 0)) return 0;
    float best = extreme / static_cast<float>(-levels);
    double best_gain = -1;
    constexpr int kSteps = 9;
    for (int step = -kSteps; step <= kSteps; ++step) {
        const float inverse =
            -(static_cast<float>(levels) + 0.1f * static_cast<float>(step)) / extreme;
        double wqx = 0, wqq = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const double q = nearest(x[i] * inverse, -levels, levels - 1);
            const double weight = weights[i];
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

}  // namespace shoal::kernels::ref
