// Conversions with AVX2 and F16C. Definitions and special cases: kernels/ref/convert.cpp, which
// these equal bit for bit.
#include "kernels/rounding.hpp"
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

constexpr int kNearestEven = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
constexpr std::size_t kQ8Bytes = 34;

/// The 32 values of a block.
struct Block {
    __m256 v[4];
};

Block load_block(const float* x) noexcept {
    return {{V8::load(x), V8::load(x + 8), V8::load(x + 16), V8::load(x + 24)}};
}

/// Bits of max |x|, compared as integers so that a NaN wins.
std::uint32_t max_magnitude(const Block& x) noexcept {
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    const auto bits = [&](int i) { return _mm256_and_si256(_mm256_castps_si256(x.v[i]), mask); };
    const __m256i max =
        _mm256_max_epu32(_mm256_max_epu32(bits(0), bits(1)), _mm256_max_epu32(bits(2), bits(3)));
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(m));
}

float as_float(std::uint32_t bits) noexcept {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/// Values rounded to nearest even, as 32 bytes in order. Requires: all within a byte's range.
__m256i round_to_bytes(const Block& x) noexcept {
    const __m256i words01 =
        _mm256_packs_epi32(_mm256_cvtps_epi32(x.v[0]), _mm256_cvtps_epi32(x.v[1]));
    const __m256i words23 =
        _mm256_packs_epi32(_mm256_cvtps_epi32(x.v[2]), _mm256_cvtps_epi32(x.v[3]));
    const __m256i bytes = _mm256_packs_epi16(words01, words23);
    // Packing works within halves; this puts each group of four where it belongs.
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

int sum_words(__m128i words) noexcept {
    __m128i s = _mm_madd_epi16(words, _mm_set1_epi16(1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

Block scaled(Block x, float factor) noexcept {
    const __m256 f = _mm256_set1_ps(factor);
    for (__m256& v : x.v) v = _mm256_mul_ps(v, f);
    return x;
}

Block clamped(Block x) noexcept {
    for (__m256& v : x.v) {
        v = _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(127.0f)), _mm256_set1_ps(-127.0f));
    }
    return x;
}

void store256(void* at, __m256i v) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(at), v);
}

}  // namespace

void f32_to_f16(const float* x, std::uint16_t* out, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(out + i)),
                         _mm256_cvtps_ph(V8::load(x + i), kNearestEven));
    }
    for (; i < n; ++i) {
        const __m128i half = _mm_cvtps_ph(_mm_set_ss(x[i]), kNearestEven);
        out[i] = static_cast<std::uint16_t>(_mm_cvtsi128_si32(half));
    }
}

void f16_to_f32(const std::uint16_t* x, float* out, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, V8::load_f16(x + i));
    for (; i < n; ++i) out[i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x[i])));
}

void quantize_activations(const float* x, ActivationBlock* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kActivationBlock; ++b, ++out) {
        const Block block = load_block(x + b * kActivationBlock);
        const std::uint32_t magnitude = max_magnitude(block);
        if (magnitude >= kInfinityBits || magnitude < kTinyBits) {
            const float d = magnitude >= kInfinityBits ? as_float(kNanBits) : 0.0f;
            *out = {{}, d, d, 0, 0};
            continue;
        }
        const float max = as_float(magnitude);
        const __m256i q = round_to_bytes(scaled(block, 127.0f / max));
        out->d = max / 127.0f;
        store256(out->qs, q);
        const __m256i words = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
        const __m128i tail = _mm256_extracti128_si256(words, 1);
        const int sum = sum_words(_mm_add_epi16(_mm256_castsi256_si128(words), tail));
        out->sum = out->d * static_cast<float>(sum);
        out->minus_sum = -sum;
        out->minus_tail = -sum_words(tail);
    }
}

void quantize_q8_0(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, out += kQ8Bytes) {
        const Block block = load_block(x + 32 * b);
        const std::uint32_t magnitude = max_magnitude(block);
        std::uint16_t half = kNanHalf;
        __m256i q = _mm256_setzero_si256();
        if (magnitude < kInfinityBits) {
            const float scale = as_float(magnitude) / 127.0f;
            const float capped = scale > kMaxHalf ? kMaxHalf : scale;
            const __m128i bits = _mm_cvtps_ph(_mm_set_ss(capped), kNearestEven);
            half = static_cast<std::uint16_t>(_mm_cvtsi128_si32(bits));
            const float d = _mm_cvtss_f32(_mm_cvtph_ps(bits));
            q = round_to_bytes(clamped(scaled(block, d > 0 ? 1.0f / d : 0.0f)));
        }
        memcpy(out, &half, sizeof half);
        store256(out + 2, q);
    }
}

void accumulate_q8_0(const std::byte* x, float* acc, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, x += kQ8Bytes, acc += 32) {
        const auto half = static_cast<int>(load_u16(x));
        const __m256 d = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
        for (std::size_t i = 0; i < 32; i += 8) {
            const void* at = x + 2 + i;
            const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(at));
            const __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
            // The product is exact, so this rounds once like the reference.
            _mm256_storeu_ps(acc + i, _mm256_fmadd_ps(d, q, V8::load(acc + i)));
        }
    }
}

void accumulate_f16(const std::uint16_t* x, float* acc, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(acc + i, _mm256_add_ps(V8::load(acc + i), V8::load_f16(x + i)));
    }
    for (; i < n; ++i) acc[i] += _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x[i])));
}

}  // namespace shoal::kernels::x86
