// Matrix products of ARMv8.6 for kernels/vector/panel_matmul.hpp.
//
// smmla multiplies 8 columns of two rows of x with 8 columns of two rows of W: twice the products
// of a dot-product instruction, half of them wasted when there is but one row of x. So a few rows
// go by dot products over the same panels, and only the expansion that many rows share has an
// order of its own:
//   step t, byte 8 r + i  is column 8 t + i of row r                               (128 bytes)
// A sum's lanes are (x 0, W 0), (x 0, W 1), (x 1, W 0), (x 1, W 1); each adds in the same order as
// lanes do elsewhere.
#pragma once

#include "kernels/arm/panel_neon.hpp"

namespace shoal::kernels::arm {
namespace {

struct RowsI8mm : Rows4 {
    static constexpr bool kMatrixProducts = true;
};

/// Columns that an instruction adds up.
constexpr std::size_t kStepColumns = 8;
constexpr std::size_t kStepBytes = kPanelRows * kStepColumns;

/// Half a panel, as four pairs of W rows, times C pairs of rows of x. With three pairs: twelve
/// sums and twelve integer sums, four vectors of codes and three of x, of 32 registers.
template <class E, std::size_t C>
struct MatrixTile {
    static constexpr std::size_t kPairs = 4;
    static constexpr std::size_t kSteps = kSlabs * kSlabColumns / kStepColumns / E::kParts;
    using F = float32x4_t;
    using I = int32x4_t;

    const std::byte* codes;  ///< of the half's first row
    const std::byte* scales;
    const ActivationBlock* x[2 * C];
    F acc[C][kPairs];

    /// From W row `first` of the panel on. The last pair's second row of x may be missing: it is
    /// the first again, and not stored.
    void run(const vector::TileArgs& a, std::size_t first, std::size_t rows) noexcept {
        codes = a.w[0] + first * kStepColumns;
        scales = a.w[0] + E::kCodeBytes + first * sizeof(float);
        SHOAL_UNROLL
        for (std::size_t r = 0; r < 2 * C; ++r) {
            const void* row = a.x + (r < rows ? r : r - 1) * a.x_stride;
            x[r] = static_cast<const ActivationBlock*>(row);
        }
        start(a, rows);
        for (std::size_t g = a.begin; g < a.end; ++g) {
            SHOAL_UNROLL
            for (std::size_t p = 0; p < E::kParts; ++p) part(p);
            codes += E::kShape.code_bytes;
            scales += E::kShape.code_bytes;
            SHOAL_UNROLL
            for (std::size_t r = 0; r < 2 * C; ++r) ++x[r];
        }
        finish(a, rows);
    }

    void part(std::size_t p) noexcept {
        I dot[C][kPairs];
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kPairs; ++j) dot[c][j] = Rows4::origin();
        }
        SHOAL_UNROLL
        for (std::size_t i = 0; i < kSteps; ++i) multiply(p * kSteps + i, dot);
        SHOAL_UNROLL
        for (std::size_t j = 0; j < kPairs; ++j) {
            const F s = floats(p, j);
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                F t = vmulq_f32(Rows4::from_origin(dot[c][j], zero_code(c, p)), s);
                if constexpr (E::kMinimum && E::kParts == 2) {
                    const F sum = vcvtq_f32_s32(vnegq_s32(zero(c, p)));
                    t = vfmaq_f32(t, floats(E::kParts + p, j), sum);
                }
                acc[c][j] = vfmaq_f32(acc[c][j], t, both(&x[2 * c]->d, &x[2 * c + 1]->d));
                if constexpr (E::kMinimum && E::kParts == 1) {
                    const F sum = both(&x[2 * c]->sum, &x[2 * c + 1]->sum);
                    acc[c][j] = vfmaq_f32(acc[c][j], floats(1, j), sum);
                }
            }
        }
    }

    void multiply(std::size_t step, I (&dot)[C][kPairs]) const noexcept {
        int8x16_t w[kPairs];
        SHOAL_UNROLL
        for (std::size_t j = 0; j < kPairs; ++j) {
            w[j] = vreinterpretq_s8_u8(Rows4::load(codes + step * kStepBytes + 16 * j));
        }
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const std::int8_t* first = x[2 * c]->qs + step * kStepColumns;
            const std::int8_t* second = x[2 * c + 1]->qs + step * kStepColumns;
            const int8x16_t inputs = vcombine_s8(vld1_s8(first), vld1_s8(second));
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kPairs; ++j) {
                dot[c][j] = vmmlaq_s32(dot[c][j], inputs, w[j]);
            }
        }
    }

    /// Scale or minimum i of a pair of W rows, for both rows of x.
    F floats(std::size_t i, std::size_t pair) const noexcept {
        const void* f = scales + i * E::kRowFloats + 2 * pair * sizeof(float);
        const float32x2_t two = vld1_f32(static_cast<const float*>(f));
        return vcombine_f32(two, two);
    }
    static F both(const float* first, const float* second) noexcept {
        return vcombine_f32(vld1_dup_f32(first), vld1_dup_f32(second));
    }
    static I both(const std::int32_t* first, const std::int32_t* second) noexcept {
        return vcombine_s32(vld1_dup_s32(first), vld1_dup_s32(second));
    }

    /// Minus the sum of the part's codes of x.
    I zero(std::size_t c, std::size_t part) const noexcept {
        const ActivationBlock& a = *x[2 * c];
        const ActivationBlock& b = *x[2 * c + 1];
        if constexpr (E::kParts == 1) return both(&a.minus_sum, &b.minus_sum);
        const I tail = both(&a.minus_tail, &b.minus_tail);
        return part == 1 ? tail : vsubq_s32(both(&a.minus_sum, &b.minus_sum), tail);
    }

    /// Minus what the code of zero contributes.
    I zero_code(std::size_t c, std::size_t part) const noexcept {
        if constexpr (E::kZeroShift == vector::kNoZero) return vdupq_n_s32(0);
        return vshlq_n_s32(zero(c, part), E::kZeroShift < 0 ? 0 : E::kZeroShift);
    }

    /// Four outputs of a row of y, as far as it has room for them.
    static F load(const vector::TileArgs& a, std::size_t row, std::size_t first) noexcept {
        const float* y = a.y + row * a.y_stride + first;
        if (first + 4 <= a.outs) return vld1q_f32(y);
        return first < a.outs ? Rows4::load_first(y, a.outs - first) : vdupq_n_f32(0.0f);
    }
    static void store(const vector::TileArgs& a, std::size_t row, std::size_t first, F v) noexcept {
        float* y = a.y + row * a.y_stride + first;
        if (first + 4 <= a.outs) {
            vst1q_f32(y, v);
        } else if (first < a.outs) {
            Rows4::store_first(y, v, a.outs - first);
        }
    }

    void start(const vector::TileArgs& a, std::size_t rows) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kPairs; j += 2) {
                acc[c][j] = acc[c][j + 1] = vdupq_n_f32(0.0f);
                if (!a.resume) continue;
                const F y0 = load(a, 2 * c, 2 * j);
                const F y1 = 2 * c + 1 < rows ? load(a, 2 * c + 1, 2 * j) : y0;
                acc[c][j] = vcombine_f32(vget_low_f32(y0), vget_low_f32(y1));
                acc[c][j + 1] = vcombine_f32(vget_high_f32(y0), vget_high_f32(y1));
            }
        }
    }

    void finish(const vector::TileArgs& a, std::size_t rows) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kPairs; j += 2) {
                const F u = acc[c][j];
                const F v = acc[c][j + 1];
                store(a, 2 * c, 2 * j, vcombine_f32(vget_low_f32(u), vget_low_f32(v)));
                if (2 * c + 1 >= rows) continue;
                store(a, 2 * c + 1, 2 * j, vcombine_f32(vget_high_f32(u), vget_high_f32(v)));
            }
        }
    }
};

/// All rows of x times the half of a panel from W row `first` on, six at a time.
template <class E>
inline void run_matrix_tiles(vector::TileArgs a, std::size_t first, std::size_t rows) noexcept {
    constexpr std::size_t kPairs = 3;
    for (; rows > 4; a.x += 2 * kPairs * a.x_stride, a.y += 2 * kPairs * a.y_stride) {
        MatrixTile<E, kPairs> tile;
        tile.run(a, first, rows);
        if (rows <= 2 * kPairs) return;
        rows -= 2 * kPairs;
    }
    if (rows > 2) {
        MatrixTile<E, 2> tile;
        tile.run(a, first, rows);
    } else if (rows != 0) {
        MatrixTile<E, 1> tile;
        tile.run(a, first, rows);
    }
}

/// One panel of a stretch of columns, as bytes and floats.
template <class Format>
inline void expand_steps(const std::byte* at, std::size_t begin, std::size_t end,
                         std::byte* out) noexcept {
    using E = vector::ExpandedOf<RowsI8mm, Format>;
    Rows4::F head[kPanelRows / Rows4::kLanes][vector::kHeads];
    for (std::size_t g = begin; g < end;) {
        SHOAL_UNROLL
        for (std::size_t row = 0; row < kPanelRows; row += Rows4::kLanes) {
            vector::load_head<Rows4, Format>(at, row, head[row / Rows4::kLanes]);
        }
        at += Format::kShape.head_bytes;
        for (const std::size_t next = vector::head_end<Format>(g, end); g < next; ++g) {
            SHOAL_UNROLL
            for (std::size_t row = 0; row < kPanelRows; row += Rows4::kLanes) {
                SHOAL_UNROLL
                for (std::size_t t = 0; t < kSlabs / 2; ++t) {
                    using From = vector::Source<RowsI8mm, Format>;
                    const uint32x4_t a = vreinterpretq_u32_u8(From::weights(at, row, 2 * t));
                    const uint32x4_t b = vreinterpretq_u32_u8(From::weights(at, row, 2 * t + 1));
                    std::byte* put = out + t * kStepBytes + row * kStepColumns;
                    Rows4::store_bytes(put, vreinterpretq_u8_u32(vzip1q_u32(a, b)));
                    Rows4::store_bytes(put + 16, vreinterpretq_u8_u32(vzip2q_u32(a, b)));
                }
                float32x4_t scale[E::kParts];
                float32x4_t minimum[E::kParts];
                Format::scales(head[row / Rows4::kLanes], at, row, scale, minimum);
                std::byte* floats = out + E::kCodeBytes + row * sizeof(float);
                SHOAL_UNROLL
                for (std::size_t p = 0; p < E::kParts; ++p) {
                    Rows4::store_floats(floats + p * E::kRowFloats, scale[p]);
                    if constexpr (E::kMinimum) {
                        Rows4::store_floats(floats + (E::kParts + p) * E::kRowFloats, minimum[p]);
                    }
                }
            }
            at += Format::kShape.scale_bytes + Format::kShape.code_bytes;
            out += E::kShape.code_bytes;
        }
    }
}

}  // namespace
}  // namespace shoal::kernels::arm

namespace shoal::kernels::vector {
namespace {

template <class Format>
struct MatrixProducts<arm::RowsI8mm, Format> {
    static void run(const TileArgs& a, std::size_t rows) noexcept {
        using E = ExpandedOf<arm::RowsI8mm, Format>;
        constexpr std::size_t kHalf = kPanelRows / 2;
        alignas(64) std::byte codes[kStretch * E::kShape.code_bytes];
        arm::expand_steps<Format>(a.w[0], a.begin, a.end, codes);
        for (std::size_t first = 0; first < a.outs; first += kHalf) {
            TileArgs tile = a;
            tile.w[0] = codes;
            tile.y += first;
            tile.outs -= first;
            arm::run_matrix_tiles<E>(tile, first, rows);
        }
    }
};

}  // namespace
}  // namespace shoal::kernels::vector
