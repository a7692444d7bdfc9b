// The sixteen-float vector of the AVX-512 kernels. Everything has internal linkage.
#pragma once

#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// Lanes below n (at most 16) set.
[[maybe_unused]] inline __mmask16 first_16(std::size_t n) noexcept {
    return static_cast<__mmask16>((1u << n) - 1);
}

/// Sixteen floats: what kernels/vector/attend*.hpp and float_block.hpp ask of an ISA.
struct V16 {
    using F = __m512;
    static constexpr std::size_t kLanes = 16;
    /// Vectors beside G heads of an attention tile: at least eight sums, which hide the latency
    /// of FMA, and with a head's factor and the vectors themselves at most 32 registers.
    static constexpr std::size_t attend_vectors(std::size_t g) noexcept { return g == 1 ? 8 : 4; }

    /// A tile of float weights: vectors of them, two rows each, by rows of x. 24 sums, four vectors
    /// of weights and one of x, out of 32 registers.
    static constexpr std::size_t kFloatVectors = 4;
    static constexpr std::size_t kFloatRows = 6;

    static F zero() noexcept { return _mm512_setzero_ps(); }
    static F all(float x) noexcept { return _mm512_set1_ps(x); }
    static F load(const float* at) noexcept { return _mm512_loadu_ps(at); }
    /// Eight floats, as often as there is room.
    static F repeat(const float* at) noexcept {
        return _mm512_broadcast_f32x8(_mm256_loadu_ps(at));
    }
    /// x, in a register: GCC would rather load it again for every use.
    static F keep(F x) noexcept {
        __asm__("" : "+v"(x));
        return x;
    }
    static F load_first(const float* at, std::size_t n) noexcept {
        return _mm512_maskz_loadu_ps(first_16(n), at);
    }
    static void store(float* at, F x) noexcept { _mm512_storeu_ps(at, x); }
    static void store_first(float* at, F x, std::size_t n) noexcept {
        _mm512_mask_storeu_ps(at, first_16(n), x);
    }
    static F add(F a, F b) noexcept { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) noexcept { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) noexcept { return _mm512_mul_ps(a, b); }
    /// a * b + c, rounded once.
    static F fma(F a, F b, F c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    /// The larger; b where a is NaN.
    static F max_number(F a, F b) noexcept { return _mm512_max_ps(a, b); }

    /// The lanes added in pairs eight apart, then as V8 does.
    static float sum(F v) noexcept { return V8::sum(V8::add(low(v), high(v))); }
    /// The largest lane, when none is NaN.
    static float max(F v) noexcept { return V8::max(V8::max_number(low(v), high(v))); }
    /// To the nearest integer, ties to even.
    static F round(F x) noexcept {
        return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    /// x 2^n of whole numbers n.
    static F times_power_of_two(F x, F n) noexcept { return _mm512_scalef_ps(x, n); }
    /// v, but zero where x < limit.
    static F zero_below(F v, F x, float limit) noexcept {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(limit), _CMP_NLT_UQ), v);
    }

    static F load_f16(const void* at) noexcept { return _mm512_cvtph_ps(load256(at)); }
    static F load_f16_first(const void* at, std::size_t n) noexcept {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_16(n), at));
    }
    /// One f16 in all lanes.
    static F all_f16(const void* at) noexcept {
        return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(load_u16(at))));
    }
    static F load_s8(const void* at) noexcept {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(at)));
    }

  private:
    static __m256 low(F v) noexcept { return _mm512_castps512_ps256(v); }
    static __m256 high(F v) noexcept { return _mm512_extractf32x8_ps(v, 1); }
};

}  // namespace
}  // namespace shoal::kernels::x86
