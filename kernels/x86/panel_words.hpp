// Integer products for CPUs without VNNI, over the vectors V of panel_avx2.hpp or panel_avx512.hpp.
#pragma once

#include "kernels/vector/panel_tile.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// What becomes of bytes, one pair of whose products with bytes would overflow 16 bits.
enum class Bytes {
    /// These and their activations are widened: two instructions for 16 products, nothing at the
    /// end. Moving the signs of one to the other would take as many, most of them on the two ports
    /// that multiply: 63 instead of 80 billion multiply-adds a second without all the rest.
    widened,
    /// They go as two nibbles: as many instructions and an eighth more at the end, but activations
    /// as they are. With vectors of sixteen rows and eight rows of x 92 instead of 82 billion.
    nibbles,
};

/// Products of unsigned codes and signed bytes are added in pairs of 16 bits, and over as many
/// slabs as cannot overflow: 2 (2^Bits - 1) 127 each. Where the sum starts from, if anywhere, is
/// added at the end, so that it takes no register meanwhile.
template <class V, int Bits, std::size_t Slabs>
struct WordDot {
    using I = typename V::I;
    static constexpr std::size_t kFits = Bits <= 4 ? 8 : Bits == 5 ? 4 : 2;
    static constexpr std::size_t kRun = kFits < Slabs ? kFits : Slabs;
    I total;
    I words;
    void start(I) noexcept {}
    void step(std::size_t s, typename V::B w, typename V::B x) noexcept {
        const I products = V::multiply_bytes(w, x);
        words = s % kRun == 0 ? products : V::add_words(words, products);
        if (s % kRun == kRun - 1) {
            const I sums = V::multiply_words(words, V::all_words(1));
            total = s < kRun ? sums : V::add_ints(total, sums);
        }
    }
    typename V::F sum() const noexcept { return V::to_float(total); }
    typename V::F sum(I from) const noexcept { return V::to_float(V::add_ints(total, from)); }
};

template <class V, Bytes Way>
struct ByteDot;

template <class V>
struct ByteDot<V, Bytes::widened> {
    using I = typename V::I;
    I total;
    void start(I) noexcept {}
    void step(std::size_t s, typename V::B w, typename V::B x) noexcept {
        const I products = V::multiply_words(w, x);
        total = s == 0 ? products : V::add_ints(total, products);
    }
    typename V::F sum() const noexcept { return V::to_float(total); }
    typename V::F sum(I from) const noexcept { return V::to_float(V::add_ints(total, from)); }
};

template <class V>
struct ByteDot<V, Bytes::nibbles> {
    using I = typename V::I;
    I words[2];
    void start(I) noexcept {}
    void step(std::size_t s, typename V::B w, typename V::B x) noexcept {
        const I products = V::multiply_bytes(w, x);
        words[s % 2] = s < 2 ? products : V::add_words(words[s % 2], products);
    }
    typename V::F sum(I from) const noexcept {
        const I low = V::multiply_words(words[0], V::all_words(1));
        const I high = V::multiply_words(words[1], V::all_words(16));
        return V::to_float(V::add_ints(from, V::add_ints(low, high)));
    }
};

template <class V, Bytes Way>
struct ByteOperand;

/// A slab's even columns, then its odd ones. What is kept for many rows of x is signed.
template <class V>
struct ByteOperand<V, Bytes::widened> {
    static constexpr std::size_t kPlanes = 2;
    static constexpr bool kKeepsValues = true;
    static typename V::B plane(typename V::B codes, std::size_t p) noexcept {
        return p == 0 ? V::low_bytes(codes) : V::high_bytes(codes);
    }
    static typename V::B kept(typename V::B plane) noexcept {
        return V::sub_words(plane, V::all_words(128));
    }
    /// Activations in the same order, made a few groups ahead: what has only just been stored is
    /// slow to load in pieces, and more groups would take the first-level cache from the weights.
    struct Inputs {
        static constexpr std::size_t kAhead = 4;
        alignas(32) std::int8_t planes[kAhead][kPlanes][kActivationBlock];
        void take(const ActivationBlock* x, std::size_t groups) noexcept {
            for (std::size_t g = 0; g < groups; ++g) {
                const __m256i v = load256(x[g].qs);
                put(g, 0, _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8));
                put(g, 1, _mm256_srai_epi16(v, 8));
            }
            // The compiler would take pieces out of the vectors.
            __asm__("" : "+m"(planes));
        }
        typename V::B step(const std::int8_t*, std::size_t g, std::size_t s) const noexcept {
            return V::all_slab(planes[g][s % kPlanes], s / kPlanes);
        }

      private:
        void put(std::size_t g, std::size_t p, __m256i v) noexcept {
            void* at = planes[g][p];
            _mm256_store_si256(static_cast<__m256i*>(at), v);
        }
    };
};

/// Low nibbles, then high ones.
template <class V>
struct ByteOperand<V, Bytes::nibbles> {
    static constexpr std::size_t kPlanes = 2;
    static constexpr bool kKeepsValues = false;
    static typename V::B plane(typename V::B codes, std::size_t p) noexcept {
        return V::template bits<4>(codes, 4 * p);
    }
    static typename V::B kept(typename V::B plane) noexcept { return plane; }
    struct Inputs {
        static constexpr std::size_t kAhead = 0;
        typename V::B step(const std::int8_t* qs, std::size_t, std::size_t s) const noexcept {
            return V::all_slab(qs, s / kPlanes);
        }
    };
};

/// By the bits of codes.
template <class V, Bytes Way, int Bits>
struct Words {
    using Operand = vector::WholeBytes<V>;
    template <std::size_t Slabs>
    using Dot = WordDot<V, Bits, Slabs>;
};
template <class V, Bytes Way>
struct Words<V, Way, 8> {
    using Operand = ByteOperand<V, Way>;
    template <std::size_t Slabs>
    using Dot = ByteDot<V, Way>;
};

}  // namespace
}  // namespace shoal::kernels::x86
