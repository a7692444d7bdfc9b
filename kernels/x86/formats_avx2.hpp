// How each quantised format becomes vectors. A step of a kernel is a pair of 32-column groups A
// and B, laid out as
//   lo = columns  0..15 of A | columns  0..15 of B
//   hi = columns 16..31 of A | columns 16..31 of B
// so that one addition of 16-bit products leaves A in the low half and B in the high half, and one
// conversion to f32 serves both. Layouts of the bytes: kernels/blocks.hpp.
#pragma once

#include "kernels/types.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// A pair of groups of one weight row. Members that a format does not need are never set.
struct Weights {
    __m256i lo, hi;              ///< unsigned codes, or signed bytes in Q8_0
    __m256i scale_lo, scale_hi;  ///< Q6_K: 16-bit scales of the sixteen columns
    __m256 d;                    ///< scale of A x 4 | scale of B x 4
    __m256 min;                  ///< minimum of A, 0, 0, 0 | of B, 0, 0, 0
};

/// What becomes of the integers before they are converted.
enum class Codes {
    plain,    ///< unsigned, summed as they are
    offset,   ///< unsigned; kZeroShift is log2 of the code of zero
    sixteen,  ///< as offset, with an integer scale for each 16 columns
    bytes,    ///< signed bytes of full range
};

/// Where a format keeps its minimum.
enum class Minimum { none, pair, superblock };

[[maybe_unused]] inline __m256i low_nibbles(__m256i v) noexcept {
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

/// Fifth bits of a byte vector: 16 in every byte whose bit is set in `bits`, two bytes of which
/// belong to each sixteen columns.
[[maybe_unused]] inline __m256i spread_bits(__m256i bits, __m256i bytes) noexcept {
    const __m256i each = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    const __m256i here = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), each);
    return _mm256_and_si256(_mm256_cmpeq_epi8(here, each), _mm256_set1_epi8(16));
}

/// Blocks of 32 columns: nothing to prepare, A and B are two blocks in a row.
struct SmallBlocks {
    static constexpr std::size_t kPairs = 1;
    static constexpr std::size_t first(std::size_t) noexcept { return 0; }
    static constexpr std::size_t second(std::size_t) noexcept { return 1; }
    struct Head {};

    static __m256i nibbles(const std::byte* a, const std::byte* b, Weights& w) noexcept {
        const __m256i qs = load_halves(a, b);
        w.lo = low_nibbles(qs);
        w.hi = low_nibbles(_mm256_srli_epi16(qs, 4));
        return qs;
    }

    static void fifth_bits(const std::byte* a, const std::byte* b, Weights& w) noexcept {
        const __m128i bits_a = _mm_set1_epi32(static_cast<int>(load_u32(a)));
        const __m128i bits_b = _mm_set1_epi32(static_cast<int>(load_u32(b)));
        const __m256i bits = _mm256_inserti128_si256(_mm256_castsi128_si256(bits_a), bits_b, 1);
        const __m256i low = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0101010101010101, 0));
        w.lo = _mm256_or_si256(w.lo, spread_bits(bits, low));
        w.hi = _mm256_or_si256(w.hi, spread_bits(bits, _mm256_add_epi8(low, _mm256_set1_epi8(2))));
    }

    static void scales(const std::byte* a, const std::byte* b, Weights& w) noexcept {
        const std::uint32_t both = load_u16(a) | load_u16(b) << 16;
        const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(both)));
        w.d = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(d),
                                       _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
    }

    static void scales_and_minimums(const std::byte* a, const std::byte* b, Weights& w) noexcept {
        const __m128i both = _mm_insert_epi32(_mm_cvtsi32_si128(static_cast<int>(load_u32(a))),
                                              static_cast<int>(load_u32(b)), 1);
        const __m256 v = _mm256_castps128_ps256(_mm_cvtph_ps(both));
        w.d = _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2));
        const __m256 min = _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3));
        w.min = _mm256_blend_ps(_mm256_setzero_ps(), min, 0x11);
    }
};

struct Q4_0 : SmallBlocks {
    static constexpr DType kType = DType::q4_0;
    static constexpr Codes kCodes = Codes::offset;
    static constexpr int kZeroShift = 3;
    static constexpr Minimum kMinimum = Minimum::none;
    static void pair(const Head&, const std::byte* a, const std::byte* b, Weights& w) noexcept {
        scales(a, b, w);
        nibbles(a + 2, b + 2, w);
    }
};

struct Q4_1 : SmallBlocks {
    static constexpr DType kType = DType::q4_1;
    static constexpr Codes kCodes = Codes::plain;
    static constexpr Minimum kMinimum = Minimum::pair;
    static void pair(const Head&, const std::byte* a, const std::byte* b, Weights& w) noexcept {
        scales_and_minimums(a, b, w);
        nibbles(a + 4, b + 4, w);
    }
};

struct Q5_0 : SmallBlocks {
    static constexpr DType kType = DType::q5_0;
    static constexpr Codes kCodes = Codes::offset;
    static constexpr int kZeroShift = 4;
    static constexpr Minimum kMinimum = Minimum::none;
    static void pair(const Head&, const std::byte* a, const std::byte* b, Weights& w) noexcept {
        scales(a, b, w);
        nibbles(a + 6, b + 6, w);
        fifth_bits(a + 2, b + 2, w);
    }
};

struct Q5_1 : SmallBlocks {
    static constexpr DType kType = DType::q5_1;
    static constexpr Codes kCodes = Codes::plain;
    static constexpr Minimum kMinimum = Minimum::pair;
    static void pair(const Head&, const std::byte* a, const std::byte* b, Weights& w) noexcept {
        scales_and_minimums(a, b, w);
        nibbles(a + 8, b + 8, w);
        fifth_bits(a + 4, b + 4, w);
    }
};

struct Q8_0 : SmallBlocks {
    static constexpr DType kType = DType::q8_0;
    static constexpr Codes kCodes = Codes::bytes;
    static constexpr Minimum kMinimum = Minimum::none;
    static void pair(const Head&, const std::byte* a, const std::byte* b, Weights& w) noexcept {
        scales(a, b, w);
        w.lo = load_halves(a + 2, b + 2);
        w.hi = load_halves(a + 18, b + 18);
    }
};

/// Superblocks of 8 groups whose scales and minimums are six-bit.
struct Superblock {
    static constexpr std::size_t kPairs = 4;
    static constexpr std::size_t first(std::size_t p) noexcept { return 2 * p; }
    static constexpr std::size_t second(std::size_t p) noexcept { return 2 * p + 1; }
    static constexpr Codes kCodes = Codes::plain;
    static constexpr Minimum kMinimum = Minimum::superblock;
    struct Head {
        __m256 d;    ///< of groups 0..7
        __m256 min;  ///< of groups 0..7
    };

    static void head(const std::byte* block, Head& h) noexcept {
        const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(load_u32(block))));
        const std::uint32_t s0 = load_u32(block + 4);
        const std::uint32_t s1 = load_u32(block + 8);
        const std::uint32_t s2 = load_u32(block + 12);
        constexpr std::uint32_t kSix = 0x3f3f3f3f, kFour = 0x0f0f0f0f, kTwo = 0x03030303;
        const std::uint64_t scale_high = (s2 & kFour) | ((s0 >> 6) & kTwo) << 4;
        const std::uint64_t min_high = ((s2 >> 4) & kFour) | ((s1 >> 6) & kTwo) << 4;
        h.d = _mm256_mul_ps(_mm256_broadcastss_ps(d), widen(scale_high << 32 | (s0 & kSix)));
        h.min = _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(d)),
                              widen(min_high << 32 | (s1 & kSix)));
    }

    static __m256 widen(std::uint64_t bytes) noexcept {
        const __m128i v = _mm_cvtsi64_si128(static_cast<long long>(bytes));
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
    }

    /// Low nibbles of 16 bytes in the low half, high nibbles in the high half.
    static __m256i split_nibbles(const std::byte* qs) noexcept {
        return low_nibbles(_mm256_srlv_epi64(load128_twice(qs), _mm256_setr_epi64x(0, 0, 4, 4)));
    }

    static __m256 pair_scales(const Head& h, std::size_t p) noexcept {
        const int a = static_cast<int>(2 * p);
        return _mm256_permutevar8x32_ps(h.d,
                                        _mm256_setr_epi32(a, a, a, a, a + 1, a + 1, a + 1, a + 1));
    }
};

struct Q4_K : Superblock {
    static constexpr DType kType = DType::q4_k;
    static void pair(const Head& h, const std::byte* block, std::size_t p, Weights& w) noexcept {
        const std::byte* qs = block + 16 + 32 * p;
        w.lo = split_nibbles(qs);
        w.hi = split_nibbles(qs + 16);
        w.d = pair_scales(h, p);
    }
};

struct Q5_K : Superblock {
    static constexpr DType kType = DType::q5_k;
    static void pair(const Head& h, const std::byte* block, std::size_t p, Weights& w) noexcept {
        const std::byte* qs = block + 48 + 32 * p;
        w.lo = _mm256_or_si256(split_nibbles(qs), fifth_bits(block + 16, p));
        w.hi = _mm256_or_si256(split_nibbles(qs + 16), fifth_bits(block + 32, p));
        w.d = pair_scales(h, p);
    }

    /// Bit 2 p of each byte for A, bit 2 p + 1 for B, moved to the place of 16.
    static __m256i fifth_bits(const std::byte* qh, std::size_t p) noexcept {
        const __m256i bits = load128_twice(qh);
        const auto bit = static_cast<long long>(2 * p);
        const __m256i moved =
            p < 2 ? _mm256_sllv_epi64(bits, _mm256_setr_epi64x(4 - bit, 4 - bit, 3 - bit, 3 - bit))
                  : _mm256_srlv_epi64(bits, _mm256_setr_epi64x(bit - 4, bit - 4, bit - 3, bit - 3));
        return _mm256_and_si256(moved, _mm256_set1_epi8(16));
    }
};

struct Q6_K {
    static constexpr DType kType = DType::q6_k;
    static constexpr std::size_t kPairs = 4;
    static constexpr Codes kCodes = Codes::sixteen;
    static constexpr int kZeroShift = 5;
    static constexpr Minimum kMinimum = Minimum::none;
    // The groups that share bytes lie two apart.
    static constexpr std::size_t first(std::size_t p) noexcept { return p / 2 * 4 + p % 2; }
    static constexpr std::size_t second(std::size_t p) noexcept { return first(p) + 2; }
    struct Head {
        __m256 d;
    };

    static void head(const std::byte* block, Head& h) noexcept {
        const auto bits = static_cast<int>(load_u16(block + 208));
        h.d = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
    }

    static void pair(const Head& h, const std::byte* block, std::size_t p, Weights& w) noexcept {
        const std::size_t half = p / 2;
        const std::byte* ql = block + 64 * half + 32 * (p % 2);
        const std::byte* qh = block + 128 + 32 * half;
        w.lo = _mm256_or_si256(Superblock::split_nibbles(ql), upper_bits(qh, p % 2));
        w.hi = _mm256_or_si256(Superblock::split_nibbles(ql + 16), upper_bits(qh + 16, p % 2));
        const __m128i bytes = _mm_loadl_epi64(
            static_cast<const __m128i*>(static_cast<const void*>(block + 192 + 8 * half)));
        const __m256i scales = _mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(bytes));
        // As bytes, 16-bit scale i is 2 i and 2 i + 1. A has scales 2 t and 2 t + 1, B four more.
        const auto at = static_cast<short>((p % 2) * 4 * 0x0101 + 0x0100);
        const __m256i lo = _mm256_inserti128_si256(
            _mm256_set1_epi16(at), _mm_set1_epi16(static_cast<short>(at + 0x0808)), 1);
        w.scale_lo = _mm256_shuffle_epi8(scales, lo);
        w.scale_hi = _mm256_shuffle_epi8(scales, _mm256_add_epi8(lo, _mm256_set1_epi8(2)));
        w.d = h.d;
    }

    /// Bits 2 t of each byte for A, 2 t + 4 for B, moved to the places of 16 and 32.
    static __m256i upper_bits(const std::byte* qh, std::size_t t) noexcept {
        const __m256i bits = load128_twice(qh);
        const __m256i moved =
            t == 0 ? _mm256_sllv_epi64(bits, _mm256_setr_epi64x(4, 4, 0, 0))
                   : _mm256_srlv_epi64(_mm256_sllv_epi64(bits, _mm256_setr_epi64x(2, 2, 0, 0)),
                                       _mm256_setr_epi64x(0, 0, 2, 2));
        return _mm256_and_si256(moved, _mm256_set1_epi8(48));
    }
};

}  // namespace
}  // namespace shoal::kernels::x86
