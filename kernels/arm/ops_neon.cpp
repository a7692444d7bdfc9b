// Norm, rotation and residual addition, with NEON.
#include "kernels/arm/neon.hpp"
#include "kernels/arm/vector_neon.hpp"

namespace shoal::kernels::arm {
namespace {

void rope_interleaved(float* x, std::size_t half, const float* cos, const float* sin) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= half; i += 4) {
        const float32x4_t c = vld1q_f32(cos + i);
        const float32x4_t s = vld1q_f32(sin + i);
        const float32x4x2_t v = vld2q_f32(x + 2 * i);
        float32x4x2_t turned;
        turned.val[0] = vsubq_f32(vmulq_f32(v.val[0], c), vmulq_f32(v.val[1], s));
        turned.val[1] = vaddq_f32(vmulq_f32(v.val[0], s), vmulq_f32(v.val[1], c));
        vst2q_f32(x + 2 * i, turned);
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
    for (; i + 4 <= half; i += 4) {
        const float32x4_t c = vld1q_f32(cos + i);
        const float32x4_t s = vld1q_f32(sin + i);
        const float32x4_t a = vld1q_f32(x + i);
        const float32x4_t b = vld1q_f32(x + half + i);
        vst1q_f32(x + i, vsubq_f32(vmulq_f32(a, c), vmulq_f32(b, s)));
        vst1q_f32(x + half + i, vaddq_f32(vmulq_f32(a, s), vmulq_f32(b, c)));
    }
    for (; i < half; ++i) {
        const float a = x[i];
        const float b = x[half + i];
        x[i] = a * cos[i] - b * sin[i];
        x[half + i] = a * sin[i] + b * cos[i];
    }
}

/// Eight sums of squares in double; sums[j] holds the reference's sums[2 j] and sums[2 j + 1].
struct Squares {
    float64x2_t sums[4] = {vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)};

    void add(V8::F x) noexcept {
        const float64x2_t wide[4] = {vcvt_f64_f32(vget_low_f32(x.lo)), vcvt_high_f64_f32(x.lo),
                                     vcvt_f64_f32(vget_low_f32(x.hi)), vcvt_high_f64_f32(x.hi)};
        for (int j = 0; j < 4; ++j) sums[j] = vfmaq_f64(sums[j], wide[j], wide[j]);
    }

    double total() const noexcept {
        const float64x2_t two = vaddq_f64(vaddq_f64(sums[0], sums[2]), vaddq_f64(sums[1], sums[3]));
        return vgetq_lane_f64(two, 0) + vgetq_lane_f64(two, 1);
    }
};

}  // namespace

void rms_norm(const float* x, const float* w, float* out, std::size_t n, float eps) noexcept {
    Squares squares;
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) squares.add(V8::load(x + i));
    if (i < n) squares.add(V8::load_first(x + i, n - i));
    const double mean = squares.total() / static_cast<double>(n) + static_cast<double>(eps);
    const double root = vget_lane_f64(vsqrt_f64(vdup_n_f64(mean)), 0);
    const auto inverse = static_cast<float>(1.0 / root);
    const V8::F scale = V8::all(inverse);
    for (i = 0; i + 8 <= n; i += 8) {
        V8::store(out + i, V8::mul(V8::mul(V8::load(x + i), scale), V8::load(w + i)));
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
    for (; i + 8 <= n; i += 8) V8::store(x + i, V8::add(V8::load(x + i), V8::load(y + i)));
    for (; i < n; ++i) x[i] += y[i];
}

}  // namespace shoal::kernels::arm
