// The table of compute kernels. `ref/` is the portable truth; ISA folders overwrite entries.
// Everything here: numbers in, numbers out. No allocation, I/O, threads or exceptions; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attend.hpp"
#include "kernels/draw.hpp"
#include "kernels/types.hpp"

namespace shoal::kernels {

/// Sets of instructions with kernels of their own, in each family from the oldest on.
enum class Isa : std::uint8_t {
    ref,  ///< portable
    avx2,
    avx_vnni,
    avx512,
    avx512_vnni,
    neon,
    dotprod,
    i8mm,
};
inline constexpr Isa kIsas[] = {Isa::ref,         Isa::avx2, Isa::avx_vnni, Isa::avx512,
                                Isa::avx512_vnni, Isa::neon, Isa::dotprod,  Isa::i8mm};

/// How a matmul of a weight type reads its activations.
enum class ActivationFormat : std::uint8_t { f32, q8 };

/// Float weights take f32 activations, quantised weights take ActivationBlock.
constexpr ActivationFormat activation_format(DType weight) noexcept {
    return is_float(weight) ? ActivationFormat::f32 : ActivationFormat::q8;
}

/// W (d,n) @ x (rows,n) -> y (rows,d), for the output rows [out_begin, out_end) of W.
struct Matmul {
    const std::byte* w;     ///< (d, cols) blocks in file layout; read
    std::size_t w_stride;   ///< bytes from one row of W to the next
    const void* x;          ///< (rows, cols) f32 or ActivationBlock, see activation_format; read
    std::size_t x_stride;   ///< bytes from one row of x to the next
    float* y;               ///< (rows, d) f32; aliases no input; columns out_begin.. written
    std::size_t y_stride;   ///< floats from one row of y to the next
    std::size_t cols;       ///< n; a multiple of the block's elements
    std::size_t rows;       ///< rows of x, at least 1
    std::size_t out_begin;  ///< first output row of W
    std::size_t out_end;    ///< one past the last
};

/// One panel of packed weights: rows of W as the ISA streams them, see kernels/panel.hpp.
struct Pack {
    const std::byte* w;       ///< the panel's first row, in file layout; read
    std::size_t w_stride;     ///< bytes from one row of W to the next
    std::size_t rows;         ///< rows of W to pack, 1..kPanelRows; the others become zeros
    std::size_t group_begin;  ///< first group of 32 columns of the file's row
    std::size_t group_end;    ///< one past the last
    std::byte* out;           ///< panel_bytes(type, group_begin, group_end); written
};

/// W @ x (rows,n) -> y (rows,d) with W in panels: output rows [out_begin, out_end).
struct PanelMatmul {
    const std::byte* w;        ///< panels, one after another; read
    std::size_t group_begin;   ///< columns of the file's rows that the panels hold, in groups
    std::size_t group_end;     ///< of 32; one past the last
    const ActivationBlock* x;  ///< (rows, groups); x[0] meets group_begin; read
    std::size_t x_stride;      ///< bytes from one row of x to the next
    float* y;                  ///< (rows, d); aliases no input; columns out_begin.. written
    std::size_t y_stride;      ///< floats from one row of y to the next
    std::size_t rows;          ///< rows of x, at least 1
    std::size_t out_begin;     ///< first output row; a multiple of kPanelRows
    std::size_t out_end;       ///< one past the last; a multiple of kPanelRows or d
};

/// Logits of a block whose maximum block_maxima() finds.
inline constexpr std::size_t kLogitBlock = 128;

/// Which elements of a head are rotated together.
enum class RopeKind : std::uint8_t {
    interleaved,  ///< (2i, 2i+1): llama
    half_split,   ///< (i, i + rot/2): qwen2, qwen3
};

struct Table {
    const char* name;

    /// Quantise n floats (n a multiple of 32) to n/32 blocks. d = max|x|/127, round half to even.
    /// A block holding a NaN or an infinity gets d = sum = NaN and qs = 0, so the fault shows in
    /// every product; a block below 2^-100 is all zeros. Bit-equal on all ISAs.
    void (*quantize_activations)(const float* x, ActivationBlock* out, std::size_t n) noexcept;

    /// y[r][o] = sum_k W[o,k] x[r,k] of weights in file layout, by type_index.
    /// A result depends only on its row and its W row: not on rows, out_begin or out_end.
    using MatmulFn = void (*)(const Matmul&) noexcept;
    MatmulFn matmul[kDTypeCount];
    /// The same of packed weights, bit-equal to the above, and what packs them. Null for types
    /// that this ISA reads as the file has them.
    using PackFn = void (*)(const Pack&) noexcept;
    PackFn pack[kDTypeCount];
    using PanelMatmulFn = void (*)(const PanelMatmul&) noexcept;
    PanelMatmulFn panel_matmul[kDTypeCount];

    /// out[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; out may be x.
    void (*rms_norm)(const float* x, const float* w, float* out, std::size_t n, float eps) noexcept;

    /// Rotate `heads` heads of head_dim floats in place by (cos, sin) of rot/2 angles each.
    void (*rope)(float* x, std::size_t heads, std::size_t head_dim, std::size_t rot, RopeKind kind,
                 const float* cos, const float* sin) noexcept;

    /// out[i] = silu(gate[i]) * up[i]; out may be gate or up.
    void (*silu_mul)(const float* gate, const float* up, float* out, std::size_t n) noexcept;

    /// x[i] += y[i].
    void (*add)(float* x, const float* y, std::size_t n) noexcept;

    /// See AttendTile; by KvType.
    AttendFn attend[kKvTypeCount];

    /// f32 <-> f16, round to nearest even; bit-equal on all ISAs.
    void (*f32_to_f16)(const float* x, std::uint16_t* out, std::size_t n) noexcept;
    void (*f16_to_f32)(const std::uint16_t* x, float* out, std::size_t n) noexcept;

    /// Payloads of collectives in Q8_0 blocks (f16 scale, 32 int8); n a multiple of 32. A block
    /// holding a NaN or an infinity gets d = NaN and qs = 0. Bit-equal on all ISAs.
    void (*quantize_q8_0)(const float* x, std::byte* out, std::size_t n) noexcept;
    /// acc[i] += value[i]; one rounding per element, bit-equal on all ISAs.
    void (*accumulate_q8_0)(const std::byte* x, float* acc, std::size_t n) noexcept;
    void (*accumulate_f16)(const std::uint16_t* x, float* acc, std::size_t n) noexcept;

    /// x[i] /= temperature, but NaN becomes the lowest float, so that comparisons are an order.
    /// Bit-equal on all ISAs.
    void (*scale_logits)(float* x, std::size_t n, float temperature) noexcept;
    /// max[b] = the largest x of each kLogitBlock; the last block may be shorter. No x is NaN.
    void (*block_maxima)(const float* x, std::size_t n, float* max) noexcept;
    /// Sum of exp(x[i] - max), max being the largest x. Bit-equal but for ref.
    double (*sum_exp)(const float* x, std::size_t n, float max) noexcept;
    /// The first i below n whose draw_hash(key, first + i) is at most `limit`; n: there is none.
    std::size_t (*find_draw)(DrawKey key, std::uint32_t first, std::size_t n,
                             std::uint32_t limit) noexcept;

    /// The entries of a weight type; null for an unknown type.
    MatmulFn matmul_for(DType type) const noexcept { return entry(matmul, type); }
    PackFn pack_for(DType type) const noexcept { return entry(pack, type); }
    PanelMatmulFn panel_matmul_for(DType type) const noexcept { return entry(panel_matmul, type); }

    template <class Fn>
    static Fn entry(const Fn (&by_type)[kDTypeCount], DType type) noexcept {
        const std::size_t i = type_index(type);
        return i < kDTypeCount ? by_type[i] : nullptr;
    }
    /// The attention over a type of cache; null for an unknown type.
    AttendFn attend_for(KvType type) const noexcept {
        const auto index = static_cast<std::size_t>(type);
        return index < kKvTypeCount ? attend[index] : nullptr;
    }
};

/// The portable table.
const Table& reference() noexcept;

/// The table of one ISA, or null when this CPU or this build does not have it.
const Table* table_for(Isa isa) noexcept;

/// The fastest ISA of this CPU.
Isa best_isa() noexcept;

const char* name(Isa isa) noexcept;

/// Exact values of a row of blocks as f32 (one defined rounding, the same on all ISAs).
/// n is a multiple of the block's elements. Requires: is_known(type).
void dequantize(DType type, const std::byte* blocks, float* out, std::size_t n) noexcept;

/// Quantise n floats into blocks of a type (any DType; round to nearest). For writers and tools.
void quantize(DType type, const float* x, std::byte* blocks, std::size_t n) noexcept;

}  // namespace shoal::kernels
