// The byte layouts of quantised blocks, as they lie in a GGUF file.
// Source: the GGUF specification and ggml's block formats. Scalars are little-endian, f16 is
// IEEE binary16; column c of a block means the c-th element of its run along the row.
//
// The structs describe and size the layouts. Blocks in a file are aligned to nothing in particular,
// so kernels copy a block or load from byte offsets instead of dereferencing these in place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/types.hpp"

namespace shoal::kernels {

/// An f16 as its bits.
using f16_bits = std::uint16_t;

/// 32 columns, 4.5 bits each. value[c] = d * (q[c] - 8)
///   0  f16  d
///   2  u8   qs[16]   low nibble of qs[j] is q[j], high nibble is q[j + 16]
struct BlockQ4_0 {
    f16_bits d;
    std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == block_shape(DType::q4_0).bytes);

/// 32 columns, 5 bits each. value[c] = d * q[c] + m
///   0  f16  d
///   2  f16  m
///   4  u8   qs[16]   nibbles as in Q4_0
struct BlockQ4_1 {
    f16_bits d;
    f16_bits m;
    std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == block_shape(DType::q4_1).bytes);

/// 32 columns, 5.5 bits each. value[c] = d * (q[c] - 16)
///   0  f16  d
///   2  u8   qh[4]    as a little-endian u32, bit c is the fifth bit of q[c]
///   6  u8   qs[16]   the lower four bits, nibbles as in Q4_0
struct BlockQ5_0 {
    f16_bits d;
    std::uint8_t qh[4];
    std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == block_shape(DType::q5_0).bytes);

/// 32 columns, 6 bits each. value[c] = d * q[c] + m
///   0  f16  d
///   2  f16  m
///   4  u8   qh[4]    as in Q5_0
///   8  u8   qs[16]   as in Q5_0
struct BlockQ5_1 {
    f16_bits d;
    f16_bits m;
    std::uint8_t qh[4];
    std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == block_shape(DType::q5_1).bytes);

/// 32 columns, 8.5 bits each. value[c] = d * qs[c]
///   0  f16  d
///   2  i8   qs[32]
struct BlockQ8_0 {
    f16_bits d;
    std::int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == block_shape(DType::q8_0).bytes);

/// Columns of a K-quant superblock.
inline constexpr std::size_t kSuperblock = 256;

/// 256 columns in 16 groups of 16, 2.625 bits each.
/// value[c] = d * (scales[c / 16] & 15) * q[c] - dmin * (scales[c / 16] >> 4)
///   0  u8   scales[16]
///  16  u8   qs[64]       byte 32 h + l: bits 2 t and 2 t + 1 are column 128 h + 32 t + l
///  80  f16  d
///  82  f16  dmin
struct BlockQ2_K {
    std::uint8_t scales[16];
    std::uint8_t qs[64];
    f16_bits d;
    f16_bits dmin;
};
static_assert(sizeof(BlockQ2_K) == block_shape(DType::q2_k).bytes);

/// 256 columns in 16 groups of 16, 3.4375 bits each. value[c] = d * (sc[c / 16] - 32) * (q[c] - 4)
///   0  u8   hmask[32]    bit c / 32 of hmask[c % 32] is the third bit of q[c]
///  32  u8   qs[64]       the lower two bits, as in Q2_K
///  96  u8   scales[12]   six-bit sc: the lower four bits of sc[g] are a nibble of scales[g % 8],
///                        the low one for g < 8; the upper two are bits 2 (g / 4) and
///                        2 (g / 4) + 1 of scales[8 + g % 4]
/// 108  f16  d
struct BlockQ3_K {
    std::uint8_t hmask[32];
    std::uint8_t qs[64];
    std::uint8_t scales[12];
    f16_bits d;
};
static_assert(sizeof(BlockQ3_K) == block_shape(DType::q3_k).bytes);

/// 256 columns in 8 groups of 32, 4.5 bits each.
/// value[c] = d * sc[g] * q[c] - dmin * mn[g], g = c / 32
///   0  f16  d
///   2  f16  dmin
///   4  u8   scales[12]   six-bit sc and mn:
///        g < 4:   sc[g] = scales[g] & 63,  mn[g] = scales[g + 4] & 63
///        g >= 4:  sc[g] = (scales[g + 4] & 15) | (scales[g - 4] >> 6) << 4
///                 mn[g] = (scales[g + 4] >> 4) | (scales[g] >> 6) << 4
///  16  u8   qs[128]      byte 32 p + l: low nibble is column 64 p + l, high nibble 64 p + 32 + l
struct BlockQ4_K {
    f16_bits d;
    f16_bits dmin;
    std::uint8_t scales[12];
    std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == block_shape(DType::q4_k).bytes);

/// 256 columns in 8 groups of 32, 5.5 bits each. Values as in Q4_K.
///   0  f16  d
///   2  f16  dmin
///   4  u8   scales[12]   as in Q4_K
///  16  u8   qh[32]       bit g of qh[l] is the fifth bit of column 32 g + l
///  48  u8   qs[128]      the lower four bits, as in Q4_K
struct BlockQ5_K {
    f16_bits d;
    f16_bits dmin;
    std::uint8_t scales[12];
    std::uint8_t qh[32];
    std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == block_shape(DType::q5_k).bytes);

/// 256 columns in 16 groups of 16, 6.5625 bits each. value[c] = d * scales[c / 16] * (q[c] - 32)
/// Halves h of 128 columns, quarters t of 32 columns, column c = 128 h + 32 t + l:
///   0  u8   ql[128]      lower four bits: byte 64 h + 32 (t & 1) + l, low nibble t < 2, else high
/// 128  u8   qh[64]       upper two bits: byte 32 h + l, bits 2 t and 2 t + 1
/// 192  i8   scales[16]
/// 208  f16  d
struct BlockQ6_K {
    std::uint8_t ql[128];
    std::uint8_t qh[64];
    std::int8_t scales[16];
    f16_bits d;
};
static_assert(sizeof(BlockQ6_K) == block_shape(DType::q6_k).bytes);

/// The sixteen values of the non-linear four-bit types.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

/// 32 columns, 4.5 bits each. value[c] = d * kIq4Values[q[c]]; laid out as Q4_0.
struct BlockIQ4_NL {
    f16_bits d;
    std::uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == block_shape(DType::iq4_nl).bytes);

/// 256 columns in 8 groups of 32, 4.25 bits each.
/// value[c] = d * (sc[g] - 32) * kIq4Values[q[c]], g = c / 32
///   0  f16  d
///   2  u16  scales_h     bits 2 g and 2 g + 1 are the upper two of six-bit sc[g]
///   4  u8   scales_l[4]  the lower four: low nibble of scales_l[g / 2] for even g, else high
///   8  u8   qs[128]      16 bytes a group, nibbles as in Q4_0
struct BlockIQ4_XS {
    f16_bits d;
    std::uint16_t scales_h;
    std::uint8_t scales_l[4];
    std::uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == block_shape(DType::iq4_xs).bytes);

}  // namespace shoal::kernels
