// Norm, rotation, activation and residual addition.
#include <cmath>

#include "kernels/ref/ref.hpp"

namespace shoal::kernels::ref {

void rms_norm(const float* x, const float* w, float* out, std::size_t n, float eps) noexcept {
    // Squares of f32 are exact in double, so eight interleaved sums, added in one fixed order,
    // come out bit-equal with and without fused instructions.
    double sums[8] = {};
    for (std::size_t i = 0; i < n; ++i) {
        sums[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    const double sum =
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    const double mean = sum / static_cast<double>(n);
    const auto scale = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
    for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * scale * w[i];
}

void rope(float* x, std::size_t heads, std::size_t head_dim, std::size_t rot, RopeKind kind,
          const float* cos, const float* sin) noexcept {
    const std::size_t half = rot / 2;
    const bool interleaved = kind == RopeKind::interleaved;
    const std::size_t step = interleaved ? 2 : 1;
    const std::size_t partner = interleaved ? 1 : half;
    for (std::size_t h = 0; h < heads; ++h, x += head_dim) {
        for (std::size_t i = 0; i < half; ++i) {
            float& a = x[i * step];
            float& b = x[i * step + partner];
            const float turned = a * cos[i] - b * sin[i];
            b = a * sin[i] + b * cos[i];
            a = turned;
        }
    }
}

void silu_mul(const float* gate, const float* up, float* out, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        const float g = gate[i];
        out[i] = g / (1.0f + std::exp(-g)) * up[i];
    }
}

void add(float* x, const float* y, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) x[i] += y[i];
}

}  // namespace shoal::kernels::ref
