// Packs rows in file layout into panels (kernels/panel.hpp). Codes are moved four at a time, as
// the 32-bit words that a slab's rows are made of; what a format scatters over words is gathered by
// shifts and masks of whole words. A group's words of sixteen rows are then transposed. Compiled
// with each ISA's flags.
#pragma once

#include <string.h>

#include "kernels/blocks.hpp"
#include "kernels/kernels.hpp"
#include "kernels/panel.hpp"

namespace shoal::kernels::vector {
namespace {

using Word = std::uint32_t;

[[maybe_unused]] inline Word load_word(const void* at) noexcept {
    Word value;
    memcpy(&value, at, sizeof value);
    return value;
}

/// Two bytes of one row.
[[maybe_unused]] inline void put_half(std::byte* at, std::size_t row, const void* half) noexcept {
    memcpy(at + 2 * row, half, 2);
}

constexpr Word kNibbleWord = 0x0f0f0f0f;
constexpr Word kPairWord = 0x03030303;
constexpr Word kBitWord = 0x01010101;

/// A packer of one format:
///   head(block, row, out)               what a superblock starts with, if anything
///   group(block, g, row, scales, codes) group g of the block; codes[c] is the row's word of chunk
///   c
struct NibbleBlocks {
    /// Sixteen bytes whose nibbles are columns j and j + 16 are as panels have them.
    static void nibbles(const std::uint8_t* qs, Word* codes) noexcept {
        for (std::size_t c = 0; c < 4; ++c) codes[c] = load_word(qs + 4 * c);
    }
    /// Bit c of `bits` is that of column c.
    static void fifth_bits(const std::uint8_t* bits, Word* codes) noexcept {
        const Word all = load_word(bits);
        Word word = 0;
        for (unsigned s = 0; s < kSlabs; ++s) {
            // The product puts each of four bits into a byte of its own.
            word |= ((((all >> (4 * s)) & 15) * 0x00204081u) & kBitWord) << s;
        }
        codes[0] = word;
    }
    template <class Block>
    static void head(const Block&, std::size_t, std::byte*) noexcept {}
};

/// Blocks of nibbles: with a minimum, and with fifth bits, where the block has them.
template <class B, DType Type>
struct PackNibbles : NibbleBlocks {
    using Block = B;
    static constexpr DType kType = Type;
    static void group(const Block& b, std::size_t, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        put_half(scales, row, &b.d);
        if constexpr (requires { b.m; }) put_half(scales + 2 * kPanelRows, row, &b.m);
        nibbles(b.qs, codes);
        if constexpr (requires { b.qh; }) fifth_bits(b.qh, codes + 4);
    }
};
using PackQ4_0 = PackNibbles<BlockQ4_0, DType::q4_0>;
using PackQ4_1 = PackNibbles<BlockQ4_1, DType::q4_1>;
using PackQ5_0 = PackNibbles<BlockQ5_0, DType::q5_0>;
using PackQ5_1 = PackNibbles<BlockQ5_1, DType::q5_1>;
using PackIQ4_NL = PackNibbles<BlockIQ4_NL, DType::iq4_nl>;

/// Signed: bytes stay as they are; else -128 becomes code 0.
template <bool Signed>
struct PackQ8_0 : NibbleBlocks {
    using Block = BlockQ8_0;
    static constexpr DType kType = DType::q8_0;
    static void group(const Block& b, std::size_t, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        constexpr Word kFlip = Signed ? 0 : 0x80808080;
        put_half(scales, row, &b.d);
        for (std::size_t s = 0; s < kSlabs; ++s) {
            codes[s] = load_word(b.qs + 4 * s) ^ kFlip;
        }
    }
};

/// What the K-quants share.
struct Superblocks {
    /// Nibbles of columns l and l + 16 from 32 bytes that hold each column's at `shift`.
    static void nibbles(const std::uint8_t* qs, unsigned shift, Word* codes) noexcept {
        for (std::size_t c = 0; c < 4; ++c) {
            const Word low = (load_word(qs + 4 * c) >> shift) & kNibbleWord;
            const Word high = (load_word(qs + 16 + 4 * c) >> shift) & kNibbleWord;
            codes[c] = low | high << 4;
        }
    }
    /// Two bits of each column from 32 bytes that hold them at `shift`.
    static void pairs(const std::uint8_t* qs, unsigned shift, Word* codes) noexcept {
        for (std::size_t h = 0; h < 2; ++h) {
            Word word = 0;
            for (unsigned f = 0; f < 4; ++f) {
                word |= ((load_word(qs + 16 * h + 4 * f) >> shift) & kPairWord) << (2 * f);
            }
            codes[h] = word;
        }
    }
    /// One bit of each column from 32 bytes that hold it at `shift`.
    static void bits(const std::uint8_t* qs, unsigned shift, Word* codes) noexcept {
        Word word = 0;
        for (unsigned s = 0; s < kSlabs; ++s) {
            word |= ((load_word(qs + 4 * s) >> shift) & kBitWord) << s;
        }
        codes[0] = word;
    }
    template <class Block>
    static void head(const Block& b, std::size_t row, std::byte* out) noexcept {
        put_half(out, row, &b.d);
    }
};

/// Those with minimums.
struct SuperblocksAbove : Superblocks {
    template <class Block>
    static void head(const Block& b, std::size_t row, std::byte* out) noexcept {
        put_half(out, row, &b.d);
        put_half(out + 2 * kPanelRows, row, &b.dmin);
    }
    static void six_bit(const std::uint8_t* packed, std::size_t g, std::size_t row,
                        std::byte* scales) noexcept {
        const int scale = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4;
        const int min = g < 4 ? packed[g + 4] & 63 : (packed[g + 4] >> 4) | (packed[g] >> 6) << 4;
        scales[row] = static_cast<std::byte>(scale);
        scales[kPanelRows + row] = static_cast<std::byte>(min);
    }
};

struct PackQ4_K : SuperblocksAbove {
    using Block = BlockQ4_K;
    static constexpr DType kType = DType::q4_k;
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        six_bit(b.scales, g, row, scales);
        nibbles(b.qs + g / 2 * 32, g % 2 * 4, codes);
    }
};

struct PackQ5_K : SuperblocksAbove {
    using Block = BlockQ5_K;
    static constexpr DType kType = DType::q5_k;
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        six_bit(b.scales, g, row, scales);
        nibbles(b.qs + g / 2 * 32, g % 2 * 4, codes);
        bits(b.qh, static_cast<unsigned>(g), codes + 4);
    }
};

struct PackQ6_K : Superblocks {
    using Block = BlockQ6_K;
    static constexpr DType kType = DType::q6_k;
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        const auto quarter = static_cast<unsigned>(g % 4);
        scales[row] = static_cast<std::byte>(b.scales[2 * g]);
        scales[kPanelRows + row] = static_cast<std::byte>(b.scales[2 * g + 1]);
        nibbles(b.ql + 64 * (g / 4) + 32 * (quarter & 1), quarter / 2 * 4, codes);
        pairs(b.qh + 32 * (g / 4), 2 * quarter, codes + 4);
    }
};

struct PackQ2_K : SuperblocksAbove {
    using Block = BlockQ2_K;
    static constexpr DType kType = DType::q2_k;
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        scales[row] = static_cast<std::byte>(b.scales[2 * g]);
        scales[kPanelRows + row] = static_cast<std::byte>(b.scales[2 * g + 1]);
        pairs(b.qs + 32 * (g / 4), static_cast<unsigned>(g % 4 * 2), codes);
    }
};

struct PackQ3_K : Superblocks {
    using Block = BlockQ3_K;
    static constexpr DType kType = DType::q3_k;
    static int scale(const Block& b, std::size_t i) noexcept {
        const int low = i < 8 ? b.scales[i] & 15 : b.scales[i - 8] >> 4;
        return (low | ((b.scales[8 + i % 4] >> (2 * (i / 4))) & 3) << 4) - 32;
    }
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        scales[row] = static_cast<std::byte>(scale(b, 2 * g));
        scales[kPanelRows + row] = static_cast<std::byte>(scale(b, 2 * g + 1));
        pairs(b.qs + 32 * (g / 4), static_cast<unsigned>(g % 4 * 2), codes);
        bits(b.hmask, static_cast<unsigned>(g), codes + 2);
    }
};

struct PackIQ4_XS : Superblocks {
    using Block = BlockIQ4_XS;
    static constexpr DType kType = DType::iq4_xs;
    static void group(const Block& b, std::size_t g, std::size_t row, std::byte* scales,
                      Word* codes) noexcept {
        const int low = (b.scales_l[g / 2] >> (4 * (g % 2))) & 15;
        const int scale = (low | ((b.scales_h >> (2 * g)) & 3) << 4) - 32;
        scales[row] = static_cast<std::byte>(scale);
        NibbleBlocks::nibbles(b.qs + 16 * g, codes);
    }
};

/// Word c of row r becomes word r of chunk c.
template <std::size_t Words>
inline void transpose(const Word (&rows)[kPanelRows][Words], std::byte* codes) noexcept {
    using Four [[gnu::vector_size(16)]] = Word;
    std::size_t c = 0;
    for (; c + 4 <= Words; c += 4) {
        for (std::size_t r = 0; r < kPanelRows; r += 4) {
            Four in[4];
            for (std::size_t i = 0; i < 4; ++i) memcpy(&in[i], &rows[r + i][c], sizeof in[i]);
            const Four low01 = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
            const Four low23 = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
            const Four high01 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
            const Four high23 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
            const Four out[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                                 __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                                 __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                                 __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
            for (std::size_t i = 0; i < 4; ++i) {
                memcpy(codes + (c + i) * kSlabBytes + r * sizeof(Word), &out[i], sizeof out[i]);
            }
        }
    }
    for (; c < Words; ++c) {
        for (std::size_t r = 0; r < kPanelRows; ++r) {
            memcpy(codes + c * kSlabBytes + r * sizeof(Word), &rows[r][c], sizeof(Word));
        }
    }
}

template <class Packer>
inline void pack(const Pack& p) noexcept {
    using Block = typename Packer::Block;
    constexpr PanelShape kShape = panel_shape(Packer::kType);
    constexpr std::size_t kGroups = block_shape(Packer::kType).elements / kActivationBlock;
    if (p.rows < kPanelRows) {
        memset(p.out, 0, panel_bytes(Packer::kType, p.group_begin, p.group_end));
    }
    Block blocks[kPanelRows];
    Word words[kPanelRows][kShape.code_bytes / kSlabBytes] = {};
    std::byte* out = p.out;
    for (std::size_t g = p.group_begin; g < p.group_end;) {
        for (std::size_t r = 0; r < p.rows; ++r) {
            memcpy(&blocks[r], p.w + r * p.w_stride + g / kGroups * sizeof(Block), sizeof(Block));
            Packer::head(blocks[r], r, out);
        }
        out += kShape.head_bytes;
        const std::size_t end = (g / kGroups + 1) * kGroups;
        for (const std::size_t last = end < p.group_end ? end : p.group_end; g < last; ++g) {
            for (std::size_t r = 0; r < p.rows; ++r) {
                Packer::group(blocks[r], g % kGroups, r, out, words[r]);
            }
            transpose(words, out + kShape.scale_bytes);
            out += kShape.scale_bytes + kShape.code_bytes;
        }
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
