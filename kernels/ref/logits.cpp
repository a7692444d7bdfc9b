// What sampling needs of a row of logits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ref/ref.hpp"

namespace shoal::kernels::ref {

void scale_logits(float* x, std::size_t n, float temperature) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        x[i] = std::isnan(x[i]) ? std::numeric_limits<float>::lowest() : x[i] / temperature;
    }
}

void block_maxima(const float* x, std::size_t n, float* max) noexcept {
    for (std::size_t i = 0; i < n; i += kLogitBlock) {
        *max++ = *std::max_element(x + i, x + std::min(i + kLogitBlock, n));
    }
}

double sum_exp(const float* x, std::size_t n, float max) noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i]) - max);
    return sum;
}

std::size_t find_draw(DrawKey key, std::uint32_t first, std::size_t n,
                      std::uint32_t limit) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        if (draw_hash(key, first + static_cast<std::uint32_t>(i)) <= limit) return i;
    }
    return n;
}

}  // namespace shoal::kernels::ref
