// Reads packed weights by what kernels/panel.hpp says of them, and by nothing else: slow, plain,
// and apart from the code that writes them.
#pragma once

#include <cstring>

#include "kernels/blocks.hpp"
#include "kernels/panel.hpp"
#include "kernels/ref/half.hpp"

namespace shoal::kernels::test {

class PanelReader {
  public:
    /// A panel with the groups [begin, ...) of its rows.
    PanelReader(DType type, const std::byte* panel, std::size_t begin)
        : type_(type), panel_(panel), begin_(begin) {}

    /// The weight of a row (0..15) and a column of the file.
    float value(std::size_t row, std::size_t column) {
        find(column / kActivationBlock);
        row_ = row;
        slab_ = column % kActivationBlock / kSlabColumns;
        byte_ = kSlabColumns * row + column % kSlabColumns;
        const std::size_t half = column % kActivationBlock / 16;
        switch (type_) {
            case DType::q4_0:
                return f16(group_, 0) * static_cast<float>(nibble(0) - 8);
            case DType::iq4_nl:
                return f16(group_, 0) * static_cast<float>(kIq4Values[nibble(0)]);
            case DType::q4_1:
                return f16(group_, 0) * static_cast<float>(nibble(0)) + f16(group_, 1);
            case DType::q5_0:
                return f16(group_, 0) * static_cast<float>((nibble(0) | bit(256) << 4) - 16);
            case DType::q5_1:
                return f16(group_, 0) * static_cast<float>(nibble(0) | bit(256) << 4) +
                       f16(group_, 1);
            case DType::q8_0:
                return f16(group_, 0) * static_cast<float>(byte());
            case DType::q4_k:
                return above(u8(0), u8(1), nibble(0));
            case DType::q5_k:
                return above(u8(0), u8(1), nibble(0) | bit(256) << 4);
            case DType::q2_k:
                return above(u8(half) & 15, u8(half) >> 4, pair(0));
            case DType::q6_k:
                return scaled(half, (nibble(0) | pair(256) << 4) - 32);
            case DType::q3_k:
                return scaled(half, (pair(0) | bit(128) << 2) - 4);
            case DType::iq4_xs:
                return scaled(0, kIq4Values[nibble(0)]);
            default:
                return 0;
        }
    }

  private:
    /// Where the scales and codes of a group begin, and its superblock's scales.
    void find(std::size_t group) {
        const PanelShape shape = panel_shape(type_);
        const std::byte* at = panel_;
        for (std::size_t g = begin_;; ++g) {
            if (shape.head_bytes != 0 && (g == begin_ || g % kSuperblockGroups == 0)) {
                head_ = at;
                at += shape.head_bytes;
            }
            if (g == group) break;
            at += shape.scale_bytes + shape.code_bytes;
        }
        group_ = at;
        codes_ = at + shape.scale_bytes;
    }

    float f16(const std::byte* at, std::size_t index) const {
        std::uint16_t bits;
        std::memcpy(&bits, at + 2 * (kPanelRows * index + row_), sizeof bits);
        return ref::f16_to_f32(bits);
    }
    int u8(std::size_t index) const {
        return std::to_integer<int>(group_[kPanelRows * index + row_]);
    }
    int i8(std::size_t index) const { return static_cast<std::int8_t>(u8(index)); }

    int code(std::size_t from, std::size_t chunk) const {
        return std::to_integer<int>(codes_[from + chunk * kSlabBytes + byte_]);
    }
    int nibble(std::size_t from) const { return code(from, slab_ % 4) >> (slab_ < 4 ? 0 : 4) & 15; }
    int pair(std::size_t from) const { return code(from, slab_ / 4) >> (2 * (slab_ % 4)) & 3; }
    int bit(std::size_t from) const { return code(from, 0) >> slab_ & 1; }
    int byte() const {
#ifdef __aarch64__
        return static_cast<std::int8_t>(code(0, slab_));
#else
        return code(0, slab_) - 128;
#endif
    }

    float above(int scale, int min, int q) const {
        return f16(head_, 0) * static_cast<float>(scale * q) -
               f16(head_, 1) * static_cast<float>(min);
    }
    float scaled(std::size_t index, int q) const {
        return f16(head_, 0) * static_cast<float>(i8(index) * q);
    }

    DType type_;
    const std::byte* panel_;
    std::size_t begin_;
    const std::byte* head_ = nullptr;
    const std::byte* group_ = nullptr;
    const std::byte* codes_ = nullptr;
    std::size_t row_ = 0, slab_ = 0, byte_ = 0;
};

}  // namespace shoal::kernels::test
