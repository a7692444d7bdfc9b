// Vectors of sixteen rows for kernels/vector/panel_matmul.hpp: AVX-512, with or without VNNI as the
// compiler is told.
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kernels/vector/panel_matmul.hpp"
#include "kernels/x86/panel_words.hpp"

namespace shoal::kernels::x86 {
namespace {

struct Rows16 {
    static constexpr std::size_t kLanes = 16;
    static constexpr bool kSigned = false;
    static constexpr bool kMatrixProducts = false;
    using F = __m512;
    using I = __m512i;
    using B = __m512i;

    // Two vectors of rows by six rows of x: twelve sums and twelve integer sums, two vectors of
    // codes and one of x of 32 registers.
    static constexpr std::size_t kTileVectors = 2;
    template <int Bits>
    static constexpr std::size_t kTile = 6;
    static constexpr std::size_t kStreamVectors = 1;
    static constexpr std::size_t kStreamTile = 8;
    // Panels go in pairs with as many rows of x as the registers take, and a few more.
    static constexpr std::size_t kPairTile = 4;
    static constexpr std::size_t kPairRows = 7;
    // With it Q4_K and Q6_K come 4 to 7 % faster, Q4_0 and Q8_0 1 to 3 %.
    static constexpr std::size_t kPairPrefetchFar = 2048;
    // Two tiles read a panel, the second from the cache: from memory that is faster than expanding
    // stretches of it up to some twenty rows.
    static constexpr std::size_t kStreamRows = 16;

    static B load(const std::byte* at) noexcept { return _mm512_loadu_si512(at); }
    static void store_bytes(std::byte* at, B v) noexcept { _mm512_storeu_si512(at, v); }
    /// The instruction takes a literal; every case but one goes when `shift` is known.
    [[gnu::always_inline]] static B shifted(B v, std::size_t shift) noexcept {
        switch (shift) {
            case 1:
                return _mm512_srli_epi16(v, 1);
            case 2:
                return _mm512_srli_epi16(v, 2);
            case 3:
                return _mm512_srli_epi16(v, 3);
            case 4:
                return _mm512_srli_epi16(v, 4);
            case 5:
                return _mm512_srli_epi16(v, 5);
            case 6:
                return _mm512_srli_epi16(v, 6);
            case 7:
                return _mm512_srli_epi16(v, 7);
            default:
                return v;
        }
    }
    /// Inlined always: the compiler judges by the size before cases go.
    template <int N>
    [[gnu::always_inline]] static B bits(B v, std::size_t shift) noexcept {
        return _mm512_and_si512(shifted(v, shift), _mm512_set1_epi8((1 << N) - 1));
    }
    template <int N>
    static B up(B v) noexcept {
        return _mm512_slli_epi16(v, N);
    }
    static B either(B a, B b) noexcept { return _mm512_or_si512(a, b); }
    static B lookup(const std::uint8_t* table, B v) noexcept {
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load128(table)), v);
    }
    static __m128i load128(const void* at) noexcept {
        return _mm_loadu_si128(static_cast<const __m128i*>(at));
    }
    static B load_rows(const std::byte* at, std::size_t stride) noexcept {
        const __m256i low =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load128(at)), load128(at + stride), 1);
        const B three =
            _mm512_inserti32x4(_mm512_castsi256_si512(low), load128(at + 2 * stride), 2);
        return _mm512_inserti32x4(three, load128(at + 3 * stride), 3);
    }
    static void transpose(B (&v)[4]) noexcept {
        const B low01 = _mm512_unpacklo_epi32(v[0], v[1]);
        const B low23 = _mm512_unpacklo_epi32(v[2], v[3]);
        const B high01 = _mm512_unpackhi_epi32(v[0], v[1]);
        const B high23 = _mm512_unpackhi_epi32(v[2], v[3]);
        v[0] = _mm512_unpacklo_epi64(low01, low23);
        v[1] = _mm512_unpackhi_epi64(low01, low23);
        v[2] = _mm512_unpacklo_epi64(high01, high23);
        v[3] = _mm512_unpackhi_epi64(high01, high23);
    }
    static void put_bytes(std::byte* at, B words) noexcept {
        void* p = at;
        _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(words));
    }
    static void put_halves(std::byte* at, B words) noexcept {
        void* p = at;
        _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(words));
    }
    static B all_slab(const std::int8_t* qs, std::size_t slab) noexcept {
        int word;
        memcpy(&word, qs + slab * kSlabColumns, sizeof word);
        return _mm512_set1_epi32(word);
    }

    static F from_f16(const std::byte* at, std::size_t row) noexcept {
        const void* p = at + 2 * row;
        return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    }
    static F from_u8(const std::byte* at, std::size_t row) noexcept {
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load128(at + row)));
    }
    static F from_i8(const std::byte* at, std::size_t row) noexcept {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(at + row)));
    }
    static F from_low_nibbles(const std::byte* at, std::size_t row) noexcept {
        const __m512i bytes = _mm512_cvtepu8_epi32(load128(at + row));
        return _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
    }
    static F from_high_nibbles(const std::byte* at, std::size_t row) noexcept {
        return _mm512_cvtepi32_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(load128(at + row)), 4));
    }

    static __mmask16 first(std::size_t n) noexcept { return static_cast<__mmask16>((1u << n) - 1); }
    static F zero() noexcept { return _mm512_setzero_ps(); }
    static F all(const float* at) noexcept { return _mm512_set1_ps(*at); }
    static F load(const float* at) noexcept { return _mm512_loadu_ps(at); }
    static F load_first(const float* at, std::size_t n) noexcept {
        return _mm512_maskz_loadu_ps(first(n), at);
    }
    static void store(float* at, F v) noexcept { _mm512_storeu_ps(at, v); }
    static void store_first(float* at, F v, std::size_t n) noexcept {
        _mm512_mask_storeu_ps(at, first(n), v);
    }
    static F load_floats(const std::byte* at) noexcept {
        return _mm512_castsi512_ps(_mm512_loadu_si512(at));
    }
    static void store_floats(std::byte* at, F v) noexcept {
        _mm512_storeu_si512(at, _mm512_castps_si512(v));
    }
    static F mul(F a, F b) noexcept { return _mm512_mul_ps(a, b); }
    static F fma(F a, F b, F c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static F negated(F a) noexcept { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
    static F to_float(I v) noexcept { return _mm512_cvtepi32_ps(v); }

    /// See kernels/x86/panel_avx2.hpp.
    static I in_order(I sum) noexcept {
        __asm__("" : "+v"(sum));
        return sum;
    }
    static I zero_ints() noexcept { return _mm512_setzero_si512(); }
    static I all_ints(const std::int32_t* at) noexcept { return _mm512_set1_epi32(*at); }
    static I add_ints(I a, I b) noexcept { return in_order(_mm512_add_epi32(a, b)); }
    static I sub_ints(I a, I b) noexcept { return _mm512_sub_epi32(a, b); }
    static I negated_int(I a) noexcept { return _mm512_sub_epi32(zero_ints(), a); }
    template <int N>
    static I shift_left(I a) noexcept {
        return _mm512_slli_epi32(a, N);
    }

#ifdef __AVX512VNNI__
    template <int Bits>
    using Operand = vector::WholeBytes<Rows16>;
    template <int Bits, std::size_t Slabs>
    struct Dot {
        I total;
        void start(I from) noexcept { total = from; }
        void step(std::size_t, B w, B x) noexcept { total = _mm512_dpbusd_epi32(total, w, x); }
        F sum(I) const noexcept { return to_float(total); }
    };
#else
    /// Sums of products of neighbours, as 16 bits.
    static I multiply_bytes(B w, B x) noexcept {
        return _mm512_maddubs_epi16(w, x);
    }
    static I add_words(I a, I b) noexcept {
        return in_order(_mm512_add_epi16(a, b));
    }
    /// Sums of products of neighbouring 16-bit values.
    static I multiply_words(I a, I b) noexcept {
        return _mm512_madd_epi16(a, b);
    }
    static I all_words(short value) noexcept {
        return _mm512_set1_epi16(value);
    }
    template <int Bits>
    using Operand = typename Words<Rows16, Bytes::nibbles, Bits>::Operand;
    template <int Bits, std::size_t Slabs>
    using Dot = typename Words<Rows16, Bytes::nibbles, Bits>::template Dot<Slabs>;
#endif
};

}  // namespace
}  // namespace shoal::kernels::x86
