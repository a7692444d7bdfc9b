// What sampling needs of a row of logits, with AVX2.
#include "kernels/vector/logits.hpp"

#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {

void scale_logits(float* x, std::size_t n, float temperature) noexcept {
    vector::scale_logits<V8>(x, n, temperature);
}

void block_maxima(const float* x, std::size_t n, float* max) noexcept {
    vector::block_maxima<V8>(x, n, max);
}

double sum_exp(const float* x, std::size_t n, float max) noexcept {
    return vector::sum_exp<V8>(x, n, max);
}

std::size_t find_draw(DrawKey key, std::uint32_t first, std::size_t n,
                      std::uint32_t limit) noexcept {
    return vector::find_draw<V8>(key, first, n, limit);
}

}  // namespace shoal::kernels::x86
