// Loads, sums and exp that the AVX2 kernels share. Everything has internal linkage.
#pragma once

#include <immintrin.h>
#include <string.h>

#include <cstddef>
#include <cstdint>

namespace shoal::kernels::x86 {
namespace {

[[maybe_unused]] inline __m128i load128(const void* at) noexcept {
    return _mm_loadu_si128(static_cast<const __m128i*>(at));
}

[[maybe_unused]] inline __m256i load256(const void* at) noexcept {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

/// The same 16 bytes in both halves.
[[maybe_unused]] inline __m256i load128_twice(const void* at) noexcept {
    return _mm256_broadcastsi128_si256(load128(at));
}

/// 16 bytes of `a` in the low half, of `b` in the high half.
[[maybe_unused]] inline __m256i load_halves(const void* a, const void* b) noexcept {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(a)), load128(b), 1);
}

[[maybe_unused]] inline std::uint32_t load_u16(const void* at) noexcept {
    std::uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

[[maybe_unused]] inline std::uint32_t load_u32(const void* at) noexcept {
    std::uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/// Sum of eight lanes, always in this order.
[[maybe_unused]] inline float sum_lanes(__m256 v) noexcept {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

/// Lanes below n (at most 8) set, for masked loads and stores.
[[maybe_unused]] inline __m256i first_lanes(std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

/// Elements of a row in memory: eight of them, or the first n < 8 with zeros behind.
struct F32 {
    static constexpr std::size_t kBytes = 4;
    static __m256 load(const void* at) noexcept {
        return _mm256_loadu_ps(static_cast<const float*>(at));
    }
    static __m256 load_first(const void* at, std::size_t n) noexcept {
        return _mm256_maskload_ps(static_cast<const float*>(at), first_lanes(n));
    }
};

[[maybe_unused]] inline __m128i load_first_u16(const void* at, std::size_t n) noexcept {
    std::uint16_t bits[8] = {};
    memcpy(bits, at, n * sizeof bits[0]);
    return load128(bits);
}

struct F16 {
    static constexpr std::size_t kBytes = 2;
    static __m256 load(const void* at) noexcept { return _mm256_cvtph_ps(load128(at)); }
    static __m256 load_first(const void* at, std::size_t n) noexcept {
        return _mm256_cvtph_ps(load_first_u16(at, n));
    }
};

struct Bf16 {
    static constexpr std::size_t kBytes = 2;
    static __m256 widen(__m128i bits) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static __m256 load(const void* at) noexcept { return widen(load128(at)); }
    static __m256 load_first(const void* at, std::size_t n) noexcept {
        return widen(load_first_u16(at, n));
    }
};

/// e^x for x <= 0, within two units in the last place; 0 below ln 2^-126; NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its Taylor polynomial of degree 7, whose
/// remainder is below 6e-9.
[[maybe_unused]] inline __m256 exp_nonpositive(__m256 x) noexcept {
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    // The upper part of ln 2 has trailing zeros, so its product with n is exact.
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.63p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-0x1.bd0106p-13f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(-0x1.5d58ap+6f), _CMP_LT_OQ);
    return _mm256_andnot_ps(tiny, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}

}  // namespace
}  // namespace shoal::kernels::x86
