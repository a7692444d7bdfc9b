// Loads and the eight-float vector that the AVX2 kernels share. Everything has internal linkage.
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

/// Lanes below n (at most 8) set, for masked loads and stores.
[[maybe_unused]] inline __m256i first_lanes(std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

/// Eight floats: what kernels/vector/ asks of an ISA.
struct V8 {
    using F = __m256;
    static constexpr std::size_t kLanes = 8;
    /// Vectors beside G heads of an attention tile: at least eight sums where they fit, which
    /// hide the latency of FMA, and with one vector and the heads' factors at most 16 registers.
    static constexpr std::size_t attend_vectors(std::size_t g) noexcept {
        return g == 1 ? 8 : g <= 3 ? 4 : 2;
    }
    /// Weight rows of a float tile with four rows of x: twelve sums, three vectors of weights and
    /// one of x are all sixteen registers.
    static constexpr std::size_t kFloatOutputs = 3;
    /// CPUs with AVX2 have 256 KiB of second-level cache at least.
    static constexpr std::size_t kPanelBytes = 192 * 1024;

    static F zero() noexcept { return _mm256_setzero_ps(); }
    static F all(float x) noexcept { return _mm256_set1_ps(x); }
    static F load(const float* at) noexcept { return _mm256_loadu_ps(at); }
    static F load_first(const float* at, std::size_t n) noexcept {
        return _mm256_maskload_ps(at, first_lanes(n));
    }
    static void store(float* at, F x) noexcept { _mm256_storeu_ps(at, x); }
    static void store_first(float* at, F x, std::size_t n) noexcept {
        _mm256_maskstore_ps(at, first_lanes(n), x);
    }
    static F add(F a, F b) noexcept { return _mm256_add_ps(a, b); }
    static F sub(F a, F b) noexcept { return _mm256_sub_ps(a, b); }
    static F mul(F a, F b) noexcept { return _mm256_mul_ps(a, b); }
    static F div(F a, F b) noexcept { return _mm256_div_ps(a, b); }
    /// a * b + c, rounded once.
    static F fma(F a, F b, F c) noexcept { return _mm256_fmadd_ps(a, b, c); }
    /// The larger; b where a is NaN.
    static F max_number(F a, F b) noexcept { return _mm256_max_ps(a, b); }

    /// The lanes added in pairs four, then two, then one apart.
    static float sum(F v) noexcept {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
    /// The largest lane, when none is NaN.
    static float max(F v) noexcept {
        __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        m = _mm_max_ps(m, _mm_movehl_ps(m, m));
        m = _mm_max_ss(m, _mm_movehdup_ps(m));
        return _mm_cvtss_f32(m);
    }
    /// To the nearest integer, ties to even.
    static F round(F x) noexcept {
        return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    /// 2^n of whole numbers in -126..127.
    static F power_of_two(F n) noexcept {
        const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    }
    /// x 2^n of whole numbers n where neither x nor the result is subnormal or infinite.
    static F times_power_of_two(F x, F n) noexcept {
        const __m256i shift = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), shift));
    }
    /// v, but zero where x < limit.
    static F zero_below(F v, F x, float limit) noexcept {
        return _mm256_andnot_ps(_mm256_cmp_ps(x, all(limit), _CMP_LT_OQ), v);
    }
    static F minus_abs(F x) noexcept { return _mm256_or_ps(x, all(-0.0f)); }
    /// `negative` where the sign of x is set, else `positive`.
    static F select_negative(F x, F negative, F positive) noexcept {
        return _mm256_blendv_ps(positive, negative, x);
    }

    static F load_f16(const void* at) noexcept { return _mm256_cvtph_ps(load128(at)); }
    static F load_f16_first(const void* at, std::size_t n) noexcept {
        return _mm256_cvtph_ps(first_u16(at, n));
    }
    /// One f16 in all lanes.
    static F all_f16(const void* at) noexcept {
        return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(load_u16(at))));
    }
    static F load_s8(const void* at) noexcept {
        const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(at));
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    }
    static F load_bf16(const void* at) noexcept { return widen(load128(at)); }
    static F load_bf16_first(const void* at, std::size_t n) noexcept {
        return widen(first_u16(at, n));
    }

    /// `yes` where x is NaN, else `no`.
    static F select_nan(F x, F yes, F no) noexcept {
        return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    }

    /// Eight 32-bit integers.
    using U = __m256i;
    static U all_u32(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
    /// x, x + 1, ...
    static U count_from(std::uint32_t x) noexcept {
        return _mm256_add_epi32(all_u32(x), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    static U exclusive_or(U a, U b) noexcept { return _mm256_xor_si256(a, b); }
    static U sum_u32(U a, U b) noexcept { return _mm256_add_epi32(a, b); }
    static U multiply(U a, U b) noexcept { return _mm256_mullo_epi32(a, b); }
    static U smaller(U a, U b) noexcept { return _mm256_min_epu32(a, b); }
    template <int kBits>
    static U shift_right(U x) noexcept {
        return _mm256_srli_epi32(x, kBits);
    }
    static bool any_at_most(U x, U limit) noexcept {
        return _mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_min_epu32(x, limit), x)) != 0;
    }

  private:
    static F widen(__m128i bits) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static __m128i first_u16(const void* at, std::size_t n) noexcept {
        std::uint16_t bits[8] = {};
        memcpy(bits, at, n * sizeof bits[0]);
        return load128(bits);
    }
};

}  // namespace
}  // namespace shoal::kernels::x86
