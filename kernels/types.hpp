// The element types of GGUF tensors and the byte layout of their blocks.
// Source: the GGUF specification and ggml's block formats; all scalars little-endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::kernels {

/// Tensor element types; the values are GGUF's type numbers.
enum class DType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    iq4_nl = 20,
    iq4_xs = 23,
    bf16 = 30,
};

/// Every type that this build knows. A table's entries by type are in this order.
inline constexpr DType kDTypes[] = {DType::f32,  DType::f16,    DType::bf16,  DType::q4_0,
                                    DType::q4_1, DType::q5_0,   DType::q5_1,  DType::q8_0,
                                    DType::q2_k, DType::q3_k,   DType::q4_k,  DType::q5_k,
                                    DType::q6_k, DType::iq4_nl, DType::iq4_xs};
inline constexpr std::size_t kDTypeCount = sizeof kDTypes / sizeof kDTypes[0];

/// The place of a type in kDTypes; kDTypeCount for a type that this build does not know.
constexpr std::size_t type_index(DType type) noexcept {
    std::size_t i = 0;
    while (i < kDTypeCount && kDTypes[i] != type) ++i;
    return i;
}

/// A row of a tensor is a sequence of blocks; `elements` values take `bytes` bytes.
struct BlockShape {
    std::uint32_t elements;
    std::uint32_t bytes;
};

/// The shape of one block; {0, 0} for a type that this build does not know.
constexpr BlockShape block_shape(DType type) noexcept {
    switch (type) {
        case DType::f32:
            return {1, 4};
        case DType::f16:
            return {1, 2};
        case DType::bf16:
            return {1, 2};
        case DType::q4_0:
            return {32, 18};
        case DType::q4_1:
            return {32, 20};
        case DType::q5_0:
            return {32, 22};
        case DType::q5_1:
            return {32, 24};
        case DType::q8_0:
            return {32, 34};
        case DType::q2_k:
            return {256, 84};
        case DType::q3_k:
            return {256, 110};
        case DType::q4_k:
            return {256, 144};
        case DType::q5_k:
            return {256, 176};
        case DType::q6_k:
            return {256, 210};
        case DType::iq4_nl:
            return {32, 18};
        case DType::iq4_xs:
            return {256, 136};
    }
    return {0, 0};
}

constexpr bool is_known(DType type) noexcept {
    return block_shape(type).elements != 0;
}

/// True for types whose values are stored one by one and can be cut at any column.
constexpr bool is_float(DType type) noexcept {
    return block_shape(type).elements == 1;
}

/// Bytes of a row of `cols` elements. Requires: cols is a multiple of the block's elements.
constexpr std::size_t row_bytes(DType type, std::size_t cols) noexcept {
    const BlockShape shape = block_shape(type);
    return cols / shape.elements * shape.bytes;
}

/// The lower-case name used in messages and options: "q4_k".
constexpr const char* name(DType type) noexcept {
    switch (type) {
        case DType::f32:
            return "f32";
        case DType::f16:
            return "f16";
        case DType::bf16:
            return "bf16";
        case DType::q4_0:
            return "q4_0";
        case DType::q4_1:
            return "q4_1";
        case DType::q5_0:
            return "q5_0";
        case DType::q5_1:
            return "q5_1";
        case DType::q8_0:
            return "q8_0";
        case DType::q2_k:
            return "q2_k";
        case DType::q3_k:
            return "q3_k";
        case DType::q4_k:
            return "q4_k";
        case DType::q5_k:
            return "q5_k";
        case DType::q6_k:
            return "q6_k";
        case DType::iq4_nl:
            return "iq4_nl";
        case DType::iq4_xs:
            return "iq4_xs";
    }
    return "unknown";
}

/// Columns per activation block: activations are quantised per 32 columns of the file, whatever
/// the weight's block, so that a slice may start at any multiple of 32.
inline constexpr std::size_t kActivationBlock = 32;

/// One block of quantised activations: x[i] ~ d * qs[i].
struct ActivationBlock {
    std::int8_t qs[kActivationBlock];
    float d;    ///< scale: max |x| / 127
    float sum;  ///< d * sum of qs, for types with a minimum
    /// Minus the sum of all qs and of the last sixteen. A kernel that multiplies unsigned codes
    /// starts from these, scaled by the code of zero, and so takes off what that code contributes.
    std::int32_t minus_sum, minus_tail;
};
static_assert(sizeof(ActivationBlock) == 48);

}  // namespace shoal::kernels
