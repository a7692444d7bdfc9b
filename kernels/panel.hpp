// Packed weights: what the vector kernels stream.
//
// A panel is 16 rows of W, as lanes side by side; its columns come in groups of 32. A group's codes
// lie in slabs of 4 columns:
//   slab s, byte 4 r + i  is column 4 s + i of row r                               (64 bytes)
// so that a vector register holds 4 columns of 4, 8 or 16 rows, and one instruction multiplies
// them with 4 broadcast activations. Codes are the file's, less bias: unsigned, 0 for the lowest
// value. (ARM, whose instructions multiply signed bytes, keeps the bytes of Q8_0 signed.) Codes of
// fewer bits share bytes:
//   nibbles  256 bytes  chunk c of 4: low nibble slab c, high nibble slab c + 4
//   pairs    128 bytes  chunk c of 2: bits 2 f, 2 f + 1 are slab 4 c + f
//   bits      64 bytes  bit s is slab s
//   bytes    512 bytes  chunk s is slab s
// What scales them stands before the codes of each group, and for K-quants also at the start of
// each superblock, one element for each row:
//   type           superblock         group                            codes
//   Q4_0, IQ4_NL                      f16 d                            nibbles
//   Q4_1                              f16 d, f16 m                     nibbles
//   Q5_0                              f16 d                            nibbles, bits
//   Q5_1                              f16 d, f16 m                     nibbles, bits
//   Q8_0                              f16 d                            bytes
//   Q4_K           f16 d, f16 dmin    u8 scale, u8 minimum             nibbles
//   Q5_K           f16 d, f16 dmin    u8 scale, u8 minimum             nibbles, bits
//   Q6_K           f16 d              i8 scale of each half            nibbles, pairs
//   Q3_K           f16 d              i8 scale of each half            pairs, bits
//   Q2_K           f16 d, f16 dmin    u8 scale | minimum << 4 of each half   pairs
//   IQ4_XS         f16 d              i8 scale                         nibbles
// A panel may begin and end at any group; then it starts with its superblock's scales all the same.
// Rows past the matrix's last are zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/types.hpp"

namespace shoal::kernels {

inline constexpr std::size_t kPanelRows = 16;
/// Columns of a slab: what one 32-bit lane of an integer dot product takes.
inline constexpr std::size_t kSlabColumns = 4;
inline constexpr std::size_t kSlabBytes = kPanelRows * kSlabColumns;
inline constexpr std::size_t kSlabs = kActivationBlock / kSlabColumns;

/// Groups of 32 columns in a superblock of a K-quant.
inline constexpr std::size_t kSuperblockGroups = 8;

struct PanelShape {
    std::uint32_t head_bytes;   ///< at the start of each superblock
    std::uint32_t scale_bytes;  ///< before the codes of each group
    std::uint32_t code_bytes;   ///< of each group
};

// Both are inlined always: ISA files call them, and must leave no copy that others could use.

/// {0, 0, 0} for types that are never packed.
[[gnu::always_inline]] constexpr PanelShape panel_shape(DType type) noexcept {
    switch (type) {
        case DType::q4_0:
        case DType::iq4_nl:
            return {0, 32, 256};
        case DType::q4_1:
            return {0, 64, 256};
        case DType::q5_0:
            return {0, 32, 256 + 64};
        case DType::q5_1:
            return {0, 64, 256 + 64};
        case DType::q8_0:
            return {0, 32, 512};
        case DType::q2_k:
            return {64, 32, 128};
        case DType::q3_k:
            return {32, 32, 128 + 64};
        case DType::q4_k:
            return {64, 32, 256};
        case DType::q5_k:
            return {64, 32, 256 + 64};
        case DType::q6_k:
            return {32, 32, 256 + 128};
        case DType::iq4_xs:
            return {32, 16, 256};
        case DType::f32:
        case DType::f16:
        case DType::bf16:
            break;
    }
    return {0, 0, 0};
}

/// Bytes of one panel with the groups [begin, end) of the file's rows.
[[gnu::always_inline]] constexpr std::size_t panel_bytes(DType type, std::size_t begin,
                                                         std::size_t end) noexcept {
    const PanelShape shape = panel_shape(type);
    if (begin >= end) return 0;
    const std::size_t heads =
        (end + kSuperblockGroups - 1) / kSuperblockGroups - begin / kSuperblockGroups;
    return heads * shape.head_bytes + (end - begin) * (shape.scale_bytes + shape.code_bytes);
}

/// Bytes of a packed matrix of `rows` rows.
constexpr std::size_t packed_bytes(DType type, std::size_t rows, std::size_t begin,
                                   std::size_t end) noexcept {
    return (rows + kPanelRows - 1) / kPanelRows * panel_bytes(type, begin, end);
}

}  // namespace shoal::kernels
