// Packs rows in file layout into panels (kernels/panel.hpp), the same on all vector ISAs.
#pragma once

#include <string.h>

#include "kernels/blocks.hpp"
#include "kernels/kernels.hpp"
#include "kernels/vector/packing.hpp"

namespace shoal::kernels::vector {
namespace {

/// Blocks of nibbles: with a minimum, and with fifth bits, where the block has them.
template <class V, class FileBlock, DType Type>
struct PackNibbles : Packing<V> {
    using Block = FileBlock;
    using typename Packing<V>::B;
    using typename Packing<V>::Words;
    static constexpr DType kType = Type;
    static constexpr bool kMinimum = requires(Block b) { b.m; };
    static constexpr bool kFifth = requires(Block b) { b.qh; };
    B start[4], fifth[4], quants[4];

    void head(const BlockRows&, std::byte*) noexcept {}
    void load(const BlockRows& rows, std::size_t) noexcept {
        this->words(rows, 0, start);
        if constexpr (kFifth) this->words(rows, offsetof(Block, qh), fifth);
        this->words(rows, offsetof(Block, qs), quants);
    }
    void group(std::size_t, std::byte* scales, std::byte* codes) const noexcept {
        this->halves(scales, start[0], 0);
        if constexpr (kMinimum) this->halves(scales + 2 * kPanelRows, start[0], 1);
        SHOAL_UNROLL
        for (std::size_t c = 0; c < 4; ++c) this->chunk(codes, c, quants[c]);
        if constexpr (kFifth) this->chunk(codes, 4, this->raw(by_column(this->ints(fifth[0]))));
    }

  private:
    /// Bits that differ by `mask` from those `shift` above change places with them.
    static Words swap(Words v, unsigned shift, std::uint32_t mask) noexcept {
        const Words t = ((v >> shift) ^ v) & mask;
        return v ^ t ^ (t << shift);
    }
    /// Bit 4 s + i becomes bit s of byte i.
    static Words by_column(Words v) noexcept {
        return swap(swap(swap(swap(v, 6, 0x00cc00cc), 3, 0x0a0a0a0a), 12, 0x0000f0f0), 8,
                    0x0000ff00);
    }
};
template <class V>
using PackQ4_0 = PackNibbles<V, BlockQ4_0, DType::q4_0>;
template <class V>
using PackQ4_1 = PackNibbles<V, BlockQ4_1, DType::q4_1>;
template <class V>
using PackQ5_0 = PackNibbles<V, BlockQ5_0, DType::q5_0>;
template <class V>
using PackQ5_1 = PackNibbles<V, BlockQ5_1, DType::q5_1>;
template <class V>
using PackIQ4_NL = PackNibbles<V, BlockIQ4_NL, DType::iq4_nl>;

/// Signed bytes stay as they are; else -128 becomes code 0.
template <class V>
struct PackQ8_0 : Packing<V> {
    using Block = BlockQ8_0;
    using typename Packing<V>::B;
    using typename Packing<V>::Words;
    static constexpr DType kType = DType::q8_0;
    static constexpr std::uint32_t kFlip = V::kSigned ? 0 : 0x80808080;
    B start[4], quants[8];

    void head(const BlockRows&, std::byte*) noexcept {}
    void load(const BlockRows& rows, std::size_t) noexcept {
        this->words(rows, 0, start);
        this->words(rows, offsetof(Block, qs), quants);
    }
    void group(std::size_t, std::byte* scales, std::byte* codes) const noexcept {
        this->halves(scales, start[0], 0);
        SHOAL_UNROLL
        for (std::size_t s = 0; s < kSlabs; ++s) {
            this->chunk(codes, s, this->raw(this->ints(quants[s]) ^ kFlip));
        }
    }
};

/// Superblocks with a six-bit scale and minimum a group.
template <class V>
struct PackSixBits : Packing<V> {
    using typename Packing<V>::B;
    static constexpr std::size_t kShared = 2;
    B scale[2], minimum[2];  ///< of four groups, a byte each
    B low[8];

    void head(const BlockRows& rows, std::byte* out) noexcept {
        B w[4];  // d and dmin; scales
        this->words(rows, 0, w);
        this->halves(out, w[0], 0);
        this->halves(out + 2 * kPanelRows, w[0], 1);
        scale[0] = this->template bits<6>(w[1], 0);
        minimum[0] = this->template bits<6>(w[2], 0);
        const B scale_low = this->template bits<4>(w[3], 0);
        const B minimum_low = this->template bits<4>(w[3], 4);
        scale[1] = this->template join<4>(scale_low, this->template bits<2>(w[1], 6));
        minimum[1] = this->template join<4>(minimum_low, this->template bits<2>(w[2], 6));
    }
    void put_scales(std::size_t g, std::byte* scales) const noexcept {
        this->bytes(scales, scale[g / 4], g % 4);
        this->bytes(scales + kPanelRows, minimum[g / 4], g % 4);
    }
};

template <class V>
struct PackQ4_K : PackSixBits<V> {
    using Block = BlockQ4_K;
    static constexpr DType kType = DType::q4_k;

    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, qs) + 16 * g, this->low);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        this->put_scales(g, scales);
        this->nibbles(this->low, g % 2 * 4, codes);
    }
};

template <class V>
struct PackQ5_K : PackSixBits<V> {
    using Block = BlockQ5_K;
    static constexpr DType kType = DType::q5_k;
    typename V::B high[8];

    void head(const BlockRows& rows, std::byte* out) noexcept {
        PackSixBits<V>::head(rows, out);
        this->words(rows, offsetof(Block, qh), high);
    }
    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, qs) + 16 * g, this->low);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        this->put_scales(g, scales);
        this->nibbles(this->low, g % 2 * 4, codes);
        this->single(high, g, codes + 4 * kSlabBytes);
    }
};

/// Superblocks with a byte for each half of a group.
template <class V>
struct PackHalves : Packing<V> {
    using typename Packing<V>::B;
    static constexpr std::size_t kShared = 4;
    B scale[4];
    B low[8];

    void put_scales(std::size_t g, std::byte* scales) const noexcept {
        this->bytes(scales, scale[g / 2], g % 2 * 2);
        this->bytes(scales + kPanelRows, scale[g / 2], g % 2 * 2 + 1);
    }
};

template <class V>
struct PackQ6_K : PackHalves<V> {
    using Block = BlockQ6_K;
    using typename Packing<V>::B;
    static constexpr DType kType = DType::q6_k;
    B other[8], high[8];

    void head(const BlockRows& rows, std::byte* out) noexcept {
        B end[4];
        this->words(rows, sizeof(Block) - sizeof end / V::kLanes, end);
        this->halves(out, end[3], 1);
        this->words(rows, offsetof(Block, scales), this->scale);
    }
    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, ql) + 16 * g, this->low);
        this->words(rows, offsetof(Block, ql) + 16 * g + 32, other);
        this->words(rows, offsetof(Block, qh) + 8 * g, high);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        this->put_scales(g, scales);
        this->nibbles(g % 2 == 0 ? this->low : other, g % 4 / 2 * 4, codes);
        this->pairs(high, g % 4 * 2, codes + 4 * kSlabBytes);
    }
};

template <class V>
struct PackQ2_K : PackHalves<V> {
    using Block = BlockQ2_K;
    using typename Packing<V>::B;
    static constexpr DType kType = DType::q2_k;

    void head(const BlockRows& rows, std::byte* out) noexcept {
        B end[4];
        this->words(rows, sizeof(Block) - sizeof end / V::kLanes, end);
        this->halves(out, end[3], 0);
        this->halves(out + 2 * kPanelRows, end[3], 1);
        this->words(rows, offsetof(Block, scales), this->scale);
    }
    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, qs) + 8 * g, this->low);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        this->put_scales(g, scales);
        this->pairs(this->low, g % 4 * 2, codes);
    }
};

template <class V>
struct PackQ3_K : PackHalves<V> {
    using Block = BlockQ3_K;
    using typename Packing<V>::B;
    using typename Packing<V>::Bytes;
    static constexpr DType kType = DType::q3_k;
    B high[8];

    void head(const BlockRows& rows, std::byte* out) noexcept {
        B end[4];
        this->words(rows, sizeof(Block) - sizeof end / V::kLanes, end);
        this->halves(out, end[3], 1);
        B w[4];  // its last three are the scales
        this->words(rows, offsetof(Block, scales) - sizeof(std::uint32_t), w);
        SHOAL_UNROLL
        for (std::size_t i = 0; i < 4; ++i) {
            const B lower = this->template bits<4>(w[1 + i % 2], i / 2 * 4);
            const B upper = this->template bits<2>(w[3], 2 * i);
            const auto six = reinterpret_cast<Bytes>(this->template join<4>(lower, upper));
            this->scale[i] = reinterpret_cast<B>(six - kBias);
        }
        this->words(rows, offsetof(Block, hmask), high);
    }
    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, qs) + 8 * g, this->low);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        this->put_scales(g, scales);
        this->pairs(this->low, g % 4 * 2, codes);
        this->single(high, g, codes + 2 * kSlabBytes);
    }

  private:
    static constexpr std::uint8_t kBias = 32;
};

template <class V>
struct PackIQ4_XS : Packing<V> {
    using Block = BlockIQ4_XS;
    using typename Packing<V>::B;
    using typename Packing<V>::Words;
    static constexpr DType kType = DType::iq4_xs;
    B start[4], quants[4];

    void head(const BlockRows& rows, std::byte* out) noexcept {
        this->words(rows, 0, start);
        this->halves(out, start[0], 0);
    }
    void load(const BlockRows& rows, std::size_t g) noexcept {
        this->words(rows, offsetof(Block, qs) + 16 * g, quants);
    }
    void group(std::size_t g, std::byte* scales, std::byte* codes) const noexcept {
        constexpr std::uint32_t kBias = 32;
        const auto at = static_cast<unsigned>(g);
        const Words upper = this->ints(start[0]) >> (16 + 2 * at);
        const Words scale = ((this->ints(start[1]) >> (4 * at)) & 15) + ((upper & 3) << 4) - kBias;
        this->bytes(scales, this->raw(scale), 0);
        SHOAL_UNROLL
        for (std::size_t c = 0; c < 4; ++c) this->chunk(codes, c, quants[c]);
    }
};

/// Groups [first, last) of one block of V::kLanes rows.
template <class V, class Packer>
inline void pack_block(const BlockRows& rows, std::size_t row, std::size_t first, std::size_t last,
                       std::byte* out) noexcept {
    constexpr PanelShape kShape = panel_shape(Packer::kType);
    constexpr std::size_t kGroups = block_shape(Packer::kType).elements / kActivationBlock;
    constexpr std::size_t kShared = Packer::kShared;
    Packer packer;
    packer.row = row;
    packer.head(rows, out);
    out += kShape.head_bytes;
    SHOAL_UNROLL
    for (std::size_t from = 0; from < kGroups; from += kShared) {
        if (from >= last || from + kShared <= first) continue;
        packer.load(rows, from);
        SHOAL_UNROLL
        for (std::size_t g = from; g < from + kShared; ++g) {
            if (g < first || g >= last) continue;
            packer.group(g, out, out + kShape.scale_bytes + row * kSlabColumns);
            out += kShape.scale_bytes + kShape.code_bytes;
        }
    }
}

template <class V, class Packer>
inline void pack(const Pack& p) noexcept {
    using Block = typename Packer::Block;
    constexpr std::size_t kGroups = block_shape(Packer::kType).elements / kActivationBlock;
    // Stands for the rows that the last panel lacks.
    Block blocks[kPanelRows];
    if (p.rows < kPanelRows) memset(blocks, 0, sizeof blocks);
    std::byte* out = p.out;
    for (std::size_t g = p.group_begin; g < p.group_end;) {
        const std::size_t block = g / kGroups;
        const std::size_t begin = block * kGroups;
        const std::size_t end = p.group_end < begin + kGroups ? p.group_end : begin + kGroups;
        BlockRows rows{p.w + block * sizeof(Block), p.w_stride};
        if (p.rows < kPanelRows) {
            for (std::size_t r = 0; r < p.rows; ++r) {
                memcpy(&blocks[r], rows.at + r * rows.stride, sizeof(Block));
            }
            const void* at = blocks;
            rows = {static_cast<const std::byte*>(at), sizeof(Block)};
        }
        SHOAL_UNROLL
        for (std::size_t row = 0; row < kPanelRows; row += V::kLanes) {
            pack_block<V, Packer>({rows.at + row * rows.stride, rows.stride}, row, g - begin,
                                  end - begin, out);
        }
        out += panel_bytes(Packer::kType, g, end);
        g = end;
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
