// What the packers of all formats share (kernels/vector/pack.hpp): words of a panel's rows as
// vectors, and the writing of codes and scales.
//
// Sixteen bytes of each of V::kLanes rows are four words a row; transposed they are four vectors
// with one word of every row, in the order of a panel's slabs. What a format scatters over words
// is then gathered by shifts and masks of whole vectors. What an ISA gives beside that of
// panel_formats.hpp:
//   B load_rows(at, stride)        16 bytes of every fourth row in lanes of 16 bytes
//   void transpose(B (&v)[4])      words of four vectors, within each lane of 16 bytes
//   put_bytes(at, b), put_halves(at, b)   the low byte or half of each word, one after another
#pragma once

#include "kernels/panel.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// V::kLanes rows of blocks, from one superblock on.
struct BlockRows {
    const std::byte* at;
    std::size_t stride;
};

/// What packers share. One packer serves V::kLanes rows of a format; it has
///   Block, kType
///   kShared                  the groups that lie in the same bytes of the file
///   head(rows, out)          reads a superblock's scales, writes those a panel's superblock has
///   load(rows, g)            reads the codes of the groups [g, g + kShared)
///   group(g, scales, codes)  writes a group
/// `out` and `scales` are the panel's, where the rows start at `row`; `codes` are the rows' own.
template <class V>
struct Packing {
    using B = typename V::B;
    using Words [[gnu::vector_size(sizeof(B))]] = std::uint32_t;
    using Bytes [[gnu::vector_size(sizeof(B))]] = std::uint8_t;
    static constexpr std::size_t kShared = 1;

    std::size_t row;

    /// Words [0, N) from `offset` on in each row.
    template <std::size_t N>
    [[gnu::always_inline]] static void words(const BlockRows& rows, std::size_t offset,
                                             B (&out)[N]) noexcept {
        static_assert(N % 4 == 0);
        SHOAL_UNROLL
        for (std::size_t i = 0; i < N; i += 4) {
            const std::byte* at = rows.at + offset + i * sizeof(std::uint32_t);
            B four[4];
            SHOAL_UNROLL
            for (std::size_t r = 0; r < 4; ++r) {
                four[r] = V::load_rows(at + r * rows.stride, 4 * rows.stride);
            }
            V::transpose(four);
            SHOAL_UNROLL
            for (std::size_t w = 0; w < 4; ++w) out[i + w] = four[w];
        }
    }

    static Words ints(B v) noexcept { return reinterpret_cast<Words>(v); }
    static B raw(Words v) noexcept { return reinterpret_cast<B>(v); }
    static B shifted(B v, std::size_t n) noexcept {
        return raw(ints(v) >> static_cast<unsigned>(n));
    }

    /// Byte i, or half i, of each word as those of `row` on.
    void bytes(std::byte* at, B v, std::size_t i) const noexcept {
        V::put_bytes(at + row, shifted(v, 8 * i));
    }
    void halves(std::byte* at, B v, std::size_t i) const noexcept {
        V::put_halves(at + 2 * row, shifted(v, 16 * i));
    }

    template <int N>
    static B bits(B v, std::size_t shift) noexcept {
        return V::template bits<N>(v, shift);
    }
    template <int N>
    static B join(B low, B high) noexcept {
        return V::either(low, V::template up<N>(high));
    }
    static void chunk(std::byte* codes, std::size_t c, B v) noexcept {
        V::store_bytes(codes + c * kSlabBytes, v);
    }

    /// Nibbles of columns l and l + 16 from words that hold each column's at `shift`.
    static void nibbles(const B (&w)[8], std::size_t shift, std::byte* codes) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < 4; ++c) {
            chunk(codes, c, join<4>(bits<4>(w[c], shift), bits<4>(w[c + 4], shift)));
        }
    }
    /// Two bits of each column.
    static void pairs(const B (&w)[8], std::size_t shift, std::byte* codes) noexcept {
        SHOAL_UNROLL
        for (std::size_t h = 0; h < 2; ++h) {
            B all = bits<2>(w[4 * h + 3], shift);
            SHOAL_UNROLL
            for (std::size_t f = 1; f < 4; ++f) {
                all = join<2>(bits<2>(w[4 * h + 3 - f], shift), all);
            }
            chunk(codes, h, all);
        }
    }
    /// One bit of each column.
    static void single(const B (&w)[8], std::size_t shift, std::byte* codes) noexcept {
        B all = bits<1>(w[7], shift);
        SHOAL_UNROLL
        for (std::size_t s = 1; s < kSlabs; ++s) all = join<1>(bits<1>(w[7 - s], shift), all);
        chunk(codes, 0, all);
    }
};

}  // namespace
}  // namespace shoal::kernels::vector
