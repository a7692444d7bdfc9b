// Integer products for CPUs without VNNI, over the vectors V of panel_avx2.hpp or panel_avx512.hpp.
#pragma once

#include "kernels/vector/panel_tile.hpp"

namespace shoal::kernels::x86 {
namespace {

/// Products of unsigned codes and signed bytes are added in pairs of 16 bits, and over as many
/// slabs as cannot overflow: 2 (2^Bits - 1) 127 each. Where the sum starts from is added at the
/// end, so that it takes no register meanwhile.
template <class V, int Bits, std::size_t Slabs>
struct WordDot {
    using I = typename V::I;
    static constexpr std::size_t kFits = Bits <= 4 ? 8 : Bits == 5 ? 4 : 2;
    static constexpr std::size_t kRun = kFits < Slabs ? kFits : Slabs;
    I total;
    I words;
    void start(I) noexcept {}
    void step(std::size_t s, typename V::B w, typename V::B x) noexcept {
        const I products = V::multiply_pairs(w, x);
        words = s % kRun == 0 ? products : V::add_words(words, products);
        if (s % kRun == kRun - 1) {
            const I sums = V::add_pairs(words, 1);
            total = s < kRun ? sums : V::add_ints(total, sums);
        }
    }
    typename V::F sum(I from) const noexcept { return V::to_float(V::add_ints(total, from)); }
};

/// The two nibbles of bytes.
template <class V>
struct Nibbles {
    typename V::B low, high;
};

/// Bytes go as two nibbles, since pairs of whole ones would overflow 16 bits.
template <class V, std::size_t Slabs>
struct WordDot<V, 8, Slabs> {
    using I = typename V::I;
    I low, high;
    void start(I) noexcept {}
    void step(std::size_t s, const Nibbles<V>& w, typename V::B x) noexcept {
        const I a = V::multiply_pairs(w.low, x);
        const I b = V::multiply_pairs(w.high, x);
        low = s == 0 ? a : V::add_words(low, a);
        high = s == 0 ? b : V::add_words(high, b);
    }
    typename V::F sum(I from) const noexcept {
        const I sums = V::add_ints(V::add_pairs(low, 1), V::add_pairs(high, 16));
        return V::to_float(V::add_ints(from, sums));
    }
};

/// How codes are kept for their products: bytes as nibbles, so that many rows of x meet them split.
template <class V, int Bits>
struct WordOperand {
    using Type = typename V::B;
    static constexpr std::size_t kPlanes = 1;
    static Type from(typename V::B codes) noexcept { return codes; }
    static void store(std::byte* at, Type w) noexcept { V::store_bytes(at, w); }
    static Type load(const std::byte* at) noexcept { return V::load(at); }
};
template <class V>
struct WordOperand<V, 8> {
    using Type = Nibbles<V>;
    static constexpr std::size_t kPlanes = 2;
    static Type from(typename V::B codes) noexcept {
        return {V::template bits<4>(codes, 0), V::template bits<4>(codes, 4)};
    }
    static void store(std::byte* at, const Type& w) noexcept {
        V::store_bytes(at, w.low);
        V::store_bytes(at + kSlabBytes, w.high);
    }
    static Type load(const std::byte* at) noexcept {
        return {V::load(at), V::load(at + kSlabBytes)};
    }
};

}  // namespace
}  // namespace shoal::kernels::x86
