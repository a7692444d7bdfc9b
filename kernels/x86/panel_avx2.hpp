// Vectors of eight rows for kernels/vector/panel_matmul.hpp: AVX2, and AVX-VNNI where the compiler
// is told that the CPU has it.
#pragma once

#include "kernels/vector/panel_matmul.hpp"
#include "kernels/x86/panel_words.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

struct Rows8 {
    static constexpr std::size_t kLanes = 8;
    static constexpr bool kSigned = false;
    static constexpr bool kMatrixProducts = false;
    using F = __m256;
    using I = __m256i;
    using B = __m256i;

    // Two vectors of rows by three rows of x: six sums and six integer sums, two vectors of codes
    // and one of x fit sixteen registers.
    static constexpr std::size_t kTileVectors = 2;
    template <int Bits>
    static constexpr std::size_t kTile = 3;
    static constexpr std::size_t kStreamVectors = 2;
    static constexpr std::size_t kStreamTile = 3;
    static constexpr std::size_t kPairTile = 1;
    static constexpr std::size_t kPairRows = 1;
    // None: with it one thread is 2 to 8 % slower.
    static constexpr std::size_t kPairPrefetchFar = 0;
    static constexpr std::size_t kStreamRows = 6;

    static B load(const std::byte* at) noexcept { return load256(at); }
    static void store_bytes(std::byte* at, B v) noexcept {
        _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(at)), v);
    }
    template <int N>
    static B bits(B v, std::size_t shift) noexcept {
        const B mask = _mm256_set1_epi8((1 << N) - 1);
        return _mm256_and_si256(shift == 0 ? v : _mm256_srli_epi16(v, static_cast<int>(shift)),
                                mask);
    }
    template <int N>
    static B up(B v) noexcept {
        return _mm256_slli_epi16(v, N);
    }
    static B either(B a, B b) noexcept { return _mm256_or_si256(a, b); }
    static B lookup(const std::uint8_t* table, B v) noexcept {
        return _mm256_shuffle_epi8(load128_twice(table), v);
    }
    static B load_rows(const std::byte* at, std::size_t stride) noexcept {
        return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(at)), load128(at + stride),
                                       1);
    }
    static void transpose(B (&v)[4]) noexcept {
        const B low01 = _mm256_unpacklo_epi32(v[0], v[1]);
        const B low23 = _mm256_unpacklo_epi32(v[2], v[3]);
        const B high01 = _mm256_unpackhi_epi32(v[0], v[1]);
        const B high23 = _mm256_unpackhi_epi32(v[2], v[3]);
        v[0] = _mm256_unpacklo_epi64(low01, low23);
        v[1] = _mm256_unpackhi_epi64(low01, low23);
        v[2] = _mm256_unpacklo_epi64(high01, high23);
        v[3] = _mm256_unpackhi_epi64(high01, high23);
    }
    static void put_bytes(std::byte* at, B words) noexcept {
        const B low = _mm256_shuffle_epi8(words, _mm256_set1_epi32(0x0c080400));
        void* p = at;
        _mm_storel_epi64(
            static_cast<__m128i*>(p),
            _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
    }
    static void put_halves(std::byte* at, B words) noexcept {
        const B low = _mm256_shuffle_epi8(words, _mm256_set1_epi64x(0x0d0c090805040100));
        void* p = at;
        _mm_storeu_si128(
            static_cast<__m128i*>(p),
            _mm_unpacklo_epi64(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
    }
    static B all_slab(const std::int8_t* qs, std::size_t slab) noexcept {
        return _mm256_set1_epi32(static_cast<int>(load_u32(qs + slab * kSlabColumns)));
    }

    static F from_f16(const std::byte* at, std::size_t row) noexcept {
        return _mm256_cvtph_ps(load128(at + 2 * row));
    }
    static __m128i load64(const std::byte* at) noexcept {
        return _mm_loadl_epi64(static_cast<const __m128i*>(static_cast<const void*>(at)));
    }
    static F from_u8(const std::byte* at, std::size_t row) noexcept {
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load64(at + row)));
    }
    static F from_i8(const std::byte* at, std::size_t row) noexcept {
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load64(at + row)));
    }
    static F from_low_nibbles(const std::byte* at, std::size_t row) noexcept {
        const __m256i bytes = _mm256_cvtepu8_epi32(load64(at + row));
        return _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15)));
    }
    static F from_high_nibbles(const std::byte* at, std::size_t row) noexcept {
        return _mm256_cvtepi32_ps(_mm256_srli_epi32(_mm256_cvtepu8_epi32(load64(at + row)), 4));
    }

    static F zero() noexcept { return _mm256_setzero_ps(); }
    static F all(const float* at) noexcept { return _mm256_broadcast_ss(at); }
    static F load(const float* at) noexcept { return _mm256_loadu_ps(at); }
    static F load_first(const float* at, std::size_t n) noexcept { return V8::load_first(at, n); }
    static void store(float* at, F v) noexcept { _mm256_storeu_ps(at, v); }
    static void store_first(float* at, F v, std::size_t n) noexcept { V8::store_first(at, v, n); }
    static F load_floats(const std::byte* at) noexcept { return _mm256_castsi256_ps(load256(at)); }
    static void store_floats(std::byte* at, F v) noexcept {
        store_bytes(at, _mm256_castps_si256(v));
    }
    static F mul(F a, F b) noexcept { return _mm256_mul_ps(a, b); }
    static F fma(F a, F b, F c) noexcept { return _mm256_fmadd_ps(a, b, c); }
    static F negated(F a) noexcept { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
    static F to_float(I v) noexcept { return _mm256_cvtepi32_ps(v); }

    /// Keeps the compiler from turning a chain of integer additions into a tree, whose many terms
    /// do not fit the registers: 90 instead of 129 billion multiply-adds a second.
    static I in_order(I sum) noexcept {
        __asm__("" : "+x"(sum));
        return sum;
    }
    static I zero_ints() noexcept { return _mm256_setzero_si256(); }
    static I all_ints(const std::int32_t* at) noexcept { return _mm256_set1_epi32(*at); }
    static I add_ints(I a, I b) noexcept { return in_order(_mm256_add_epi32(a, b)); }
    static I sub_ints(I a, I b) noexcept { return _mm256_sub_epi32(a, b); }
    static I negated_int(I a) noexcept { return _mm256_sub_epi32(zero_ints(), a); }
    template <int N>
    static I shift_left(I a) noexcept {
        return _mm256_slli_epi32(a, N);
    }

#ifdef __AVXVNNI__
    template <int Bits>
    using Operand = vector::WholeBytes<Rows8>;
    template <int Bits, std::size_t Slabs>
    struct Dot {
        I total;
        void start(I from) noexcept { total = from; }
        void step(std::size_t, B w, B x) noexcept { total = _mm256_dpbusd_avx_epi32(total, w, x); }
        F sum(I) const noexcept { return to_float(total); }
    };
#else
    /// Sums of products of neighbours, as 16 bits.
    static I multiply_bytes(B w, B x) noexcept {
        return _mm256_maddubs_epi16(w, x);
    }
    static I add_words(I a, I b) noexcept {
        return in_order(_mm256_add_epi16(a, b));
    }
    /// Sums of products of neighbouring 16-bit values.
    static I multiply_words(I a, I b) noexcept {
        return _mm256_madd_epi16(a, b);
    }
    static I all_words(short value) noexcept {
        return _mm256_set1_epi16(value);
    }
    /// Of each 16 bits.
    static B low_bytes(B v) noexcept {
        return _mm256_and_si256(v, all_words(0xff));
    }
    static B high_bytes(B v) noexcept {
        return _mm256_srli_epi16(v, 8);
    }
    static I sub_words(I a, I b) noexcept {
        return _mm256_sub_epi16(a, b);
    }
    template <int Bits>
    using Operand = typename Words<Rows8, Bytes::widened, Bits>::Operand;
    template <int Bits, std::size_t Slabs>
    using Dot = typename Words<Rows8, Bytes::widened, Bits>::template Dot<Slabs>;
#endif
};

}  // namespace
}  // namespace shoal::kernels::x86
