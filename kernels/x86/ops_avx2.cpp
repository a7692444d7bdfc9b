// Norm, rotation and residual addition, with AVX2.
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

__m256d squares(__m128 x, __m256d sum) noexcept {
    const __m256d wide = _mm256_cvtps_pd(x);
    return _mm256_fmadd_pd(wide, wide, sum);
}

void rope_interleaved(float* x, std::size_t half, const float* cos, const float* sin) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= half; i += 4) {
        const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
        const __m256 c =
            _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cos + i)), twice);
        const __m256 s =
            _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sin + i)), twice);
        const __m256 v = V8::load(x + 2 * i);
        const __m256 swapped = _mm256_permute_ps(v, 0xb1);
        _mm256_storeu_ps(x + 2 * i,
                         _mm256_addsub_ps(_mm256_mul_ps(v, c), _mm256_mul_ps(swapped, s)));
    }
    for (; i < half; ++i) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
}

void rope_half_split(float* x, std::size_t half, const float* cos, const float* sin) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        const __m256 c = V8::load(cos + i);
        const __m256 s = V8::load(sin + i);
        const __m256 a = V8::load(x + i);
        const __m256 b = V8::load(x + half + i);
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + half + i, _mm256_add_ps(_mm256_mul_ps(a, s), _mm256_mul_ps(b, c)));
    }
    for (; i < half; ++i) {
        const float a = x[i];
        const float b = x[half + i];
        x[i] = a * cos[i] - b * sin[i];
        x[half + i] = a * sin[i] + b * cos[i];
    }
}

}  // namespace

void rms_norm(const float* x, const float* w, float* out, std::size_t n, float eps) noexcept {
    // Lane j of low and high is the reference's sums[j] and sums[4 + j].
    __m256d low = _mm256_setzero_pd();
    __m256d high = _mm256_setzero_pd();
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        low = squares(_mm_loadu_ps(x + i), low);
        high = squares(_mm_loadu_ps(x + i + 4), high);
    }
    if (i < n) {
        const __m256 rest = V8::load_first(x + i, n - i);
        low = squares(_mm256_castps256_ps128(rest), low);
        high = squares(_mm256_extractf128_ps(rest, 1), high);
    }
    const __m256d eight = _mm256_add_pd(low, high);
    const __m128d four = _mm_add_pd(_mm256_castpd256_pd128(eight), _mm256_extractf128_pd(eight, 1));
    const double sum = _mm_cvtsd_f64(_mm_add_sd(four, _mm_unpackhi_pd(four, four)));
    const double mean = sum / static_cast<double>(n) + static_cast<double>(eps);
    const double root = _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(mean)));
    const auto inverse = static_cast<float>(1.0 / root);
    const __m256 scale = _mm256_set1_ps(inverse);
    for (i = 0; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(out + i,
                         _mm256_mul_ps(_mm256_mul_ps(V8::load(x + i), scale), V8::load(w + i)));
    }
    for (; i < n; ++i) out[i] = x[i] * inverse * w[i];
}

void rope(float* x, std::size_t heads, std::size_t head_dim, std::size_t rot, RopeKind kind,
          const float* cos, const float* sin) noexcept {
    for (std::size_t h = 0; h < heads; ++h, x += head_dim) {
        if (kind == RopeKind::interleaved) {
            rope_interleaved(x, rot / 2, cos, sin);
        } else {
            rope_half_split(x, rot / 2, cos, sin);
        }
    }
}

void add(float* x, const float* y, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_add_ps(V8::load(x + i), V8::load(y + i)));
    }
    for (; i < n; ++i) x[i] += y[i];
}

}  // namespace shoal::kernels::x86
