// Register tiles of products of packed weights (kernels/panel.hpp) with quantised activations, the
// same on all vector ISAs.
//
// Lanes are rows of W, so each (W row, x row) has one lane of one accumulator and adds along k
// group by group:
//   for each part of a group:  acc = fma(f32(integer sum) * s, d, acc)
//                              acc = fma(m, d * sum of the part's codes of x, acc)
// No other rounding exists, so results are bit-equal whatever the ISA, the tile, the batch or the
// split, and for packed weights as for those in file layout.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/panel_formats.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// How far ahead of its use a stream of weights is asked for: from memory into the second-level
/// cache, which has more requests under way than the first, and from there into the first. For two
/// streams at once (panel_matmul.hpp) V says how far, for they keep the CPU's own prefetcher busy.
constexpr std::size_t kPrefetchFar = 3072;
constexpr std::size_t kPrefetchNear = 768;

/// How integer products take codes, and activations with them: bytes, as they are.
template <class V>
struct WholeBytes {
    static constexpr std::size_t kPlanes = 1;  ///< operands that one slab of codes makes
    /// What is kept for many rows of x has no code of zero but values.
    static constexpr bool kKeepsValues = false;
    static typename V::B plane(typename V::B codes, std::size_t) noexcept { return codes; }
    static typename V::B kept(typename V::B plane) noexcept { return plane; }
    struct Inputs {
        static constexpr std::size_t kAhead = 0;  ///< groups that are prepared at a time
        auto step(const std::int8_t* qs, std::size_t, std::size_t s) const noexcept {
            return V::all_slab(qs, s);
        }
    };
};

/// Expanded codes: operands by slab, then the scales and minimums of each part as f32. Formats
/// whose codes mean the same share it.
template <int Bits, int ZeroShift, std::size_t Parts, bool Minimum, std::size_t Planes>
struct Expanded {
    static constexpr std::size_t kParts = Parts;
    static constexpr bool kMinimum = Minimum;
    static constexpr int kBits = Bits;
    static constexpr int kZeroShift = ZeroShift;
    static constexpr std::size_t kCodeBytes = kSlabs * Planes * kSlabBytes;
    static constexpr std::size_t kRowFloats = kPanelRows * sizeof(float);
    static constexpr std::size_t kScaleBytes = kParts * (kMinimum ? 2 : 1) * kRowFloats;
    static constexpr PanelShape kShape = {0, 0, kCodeBytes + kScaleBytes};
};
template <class V, class Format, class Operand = typename V::template Operand<Format::kBits>>
using ExpandedOf = Expanded<Format::kBits, Operand::kKeepsValues ? kNoZero : Format::kZeroShift,
                            Format::kParts, Format::kMinimum, Operand::kPlanes>;

/// What a tile multiplies: weights from `w` on for the groups [begin, end).
struct TileArgs {
    const std::byte* w[2];  ///< panels
    std::size_t begin, end;
    const std::byte* x;  ///< activations of the tile's first row, of group `begin`
    std::size_t x_stride;
    float* y;  ///< the tile's first row and column
    std::size_t y_stride;
    std::size_t y_panel = kPanelRows;  ///< floats from where y has a panel's rows to the next's
    std::size_t outs;                  ///< W rows that y has room for
    bool resume;                       ///< sums go on from y instead of zero
};

template <class V, class Format>
struct Source {
    static constexpr bool kStreams = true;
    using Operand = typename V::template Operand<Format::kBits>;
    /// Operand `step` of a group: slab by slab, its planes.
    static typename V::B weights(const std::byte* group, std::size_t row,
                                 std::size_t step) noexcept {
        const std::byte* codes = group + Format::kShape.scale_bytes + row * kSlabColumns;
        return Operand::plane(Format::code(codes, step / Operand::kPlanes),
                              step % Operand::kPlanes);
    }
    static void scales(const typename V::F* head, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F* m) noexcept {
        Format::scales(head, group, row, s, m);
    }
};

template <class V, int Bits, int ZeroShift, std::size_t Parts, bool Minimum, std::size_t Planes>
struct Source<V, Expanded<Bits, ZeroShift, Parts, Minimum, Planes>> {
    using E = Expanded<Bits, ZeroShift, Parts, Minimum, Planes>;
    using Operand = typename V::template Operand<Bits>;
    static constexpr bool kStreams = false;
    static typename V::B weights(const std::byte* group, std::size_t row,
                                 std::size_t step) noexcept {
        return V::load(group + step * kSlabBytes + row * kSlabColumns);
    }
    static void scales(const typename V::F*, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F* m) noexcept {
        const auto at = [&](std::size_t i) noexcept {
            return V::load_floats(group + E::kCodeBytes + i * E::kRowFloats + row * sizeof(float));
        };
        SHOAL_UNROLL
        for (std::size_t p = 0; p < E::kParts; ++p) {
            s[p] = at(p);
            if constexpr (E::kMinimum) m[p] = at(E::kParts + p);
        }
    }
};

/// H vectors of W rows times C rows of x.
template <class V, class Format, std::size_t H, std::size_t C>
struct PanelTile {
    using F = typename V::F;
    using I = typename V::I;
    using B = typename V::B;
    using From = Source<V, Format>;
    static constexpr std::size_t kVectors = kPanelRows / V::kLanes;  ///< of a panel
    static constexpr std::size_t kPanels = (H + kVectors - 1) / kVectors;
    static constexpr std::size_t kParts = Format::kParts;
    static constexpr std::size_t kPartSlabs = kSlabs / kParts;
    using Dot = typename V::template Dot<Format::kBits, kPartSlabs>;

    static constexpr std::size_t panel(std::size_t h) noexcept { return h / kVectors; }
    static constexpr std::size_t row(std::size_t h) noexcept { return h % kVectors * V::kLanes; }

    const std::byte* at[kPanels];
    const ActivationBlock* x[C];
    F head[H][kHeads];
    F acc[C][H];
    typename From::Operand::Inputs inputs[C];
    std::size_t ahead;  ///< the prepared group at hand

    void run(const TileArgs& a) noexcept {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < kPanels; ++p) at[p] = a.w[p];
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const void* row = a.x + c * a.x_stride;
            x[c] = static_cast<const ActivationBlock*>(row);
        }
        start(a);
        if constexpr (Format::kShape.head_bytes == 0) {
            groups(a.begin, a.end);
        } else {
            for (std::size_t g = a.begin; g < a.end;) {
                next_head();
                const std::size_t end = head_end<Format>(g, a.end);
                groups(g, end);
                g = end;
            }
        }
        finish(a);
    }

    void groups(std::size_t begin, std::size_t end) noexcept {
        for (std::size_t g = begin; g < end; ++g) {
            if constexpr (From::kStreams) prefetch();
            prepare(g - begin, end - g);
            group();
            SHOAL_UNROLL
            for (std::size_t p = 0; p < kPanels; ++p) {
                at[p] += Format::kShape.scale_bytes + Format::kShape.code_bytes;
            }
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) ++x[c];
        }
    }

    /// Where y has the W rows of vector h.
    static float* y_at(const TileArgs& a, std::size_t c, std::size_t h) noexcept {
        return a.y + c * a.y_stride + panel(h) * a.y_panel + row(h);
    }

    /// Asks for the weights that follow, in this panel or the next.
    void prefetch() const noexcept {
        constexpr std::size_t kLine = 64;
        constexpr std::size_t kBytes = Format::kShape.scale_bytes + Format::kShape.code_bytes;
        constexpr int kRead = 0, kFirstLevel = 3, kSecondLevel = 2;
        constexpr std::size_t kFar = kPanels == 1 ? kPrefetchFar : V::kPairPrefetchFar;
        SHOAL_UNROLL
        for (std::size_t p = 0; p < kPanels; ++p) {
            SHOAL_UNROLL
            for (std::size_t i = 0; i < kBytes; i += kLine) {
                if constexpr (kFar != 0) {
                    __builtin_prefetch(at[p] + kFar + i, kRead, kSecondLevel);
                }
                __builtin_prefetch(at[p] + kPrefetchNear + i, kRead, kFirstLevel);
            }
        }
    }

    /// Prepares activations, as many groups as there are left.
    void prepare(std::size_t done, std::size_t left) noexcept {
        constexpr std::size_t kAhead = From::Operand::Inputs::kAhead;
        ahead = 0;
        if constexpr (kAhead != 0) {
            ahead = done % kAhead;
            if (ahead != 0) return;
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) inputs[c].take(x[c], left < kAhead ? left : kAhead);
        }
    }

    void next_head() noexcept {
        SHOAL_UNROLL
        for (std::size_t h = 0; h < H; ++h) {
            load_head<V, Format>(at[panel(h)], row(h), head[h]);
        }
        SHOAL_UNROLL
        for (std::size_t p = 0; p < kPanels; ++p) at[p] += Format::kShape.head_bytes;
    }

    void group() noexcept {
        SHOAL_UNROLL
        for (std::size_t p = 0; p < kParts; ++p) {
            Dot dot[C][H];
            multiply(p, dot);
            F s[H][kParts];
            F m[H][kParts];
            SHOAL_UNROLL
            for (std::size_t h = 0; h < H; ++h) {
                From::scales(head[h], at[panel(h)], row(h), s[h], m[h]);
            }
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                const I from = zero_code(c, p);
                SHOAL_UNROLL
                for (std::size_t h = 0; h < H; ++h) {
                    F t = V::mul(sum(dot[c][h], from), s[h][p]);
                    if constexpr (Format::kMinimum && kParts == 2) {
                        t = V::fma(m[h][p], V::to_float(V::negated_int(zero(c, p))), t);
                    }
                    acc[c][h] = V::fma(t, V::all(&x[c]->d), acc[c][h]);
                    if constexpr (Format::kMinimum && kParts == 1) {
                        acc[c][h] = V::fma(m[h][0], V::all(&x[c]->sum), acc[c][h]);
                    }
                }
            }
        }
    }

    static F sum(const Dot& dot, I from) noexcept {
        if constexpr (Format::kZeroShift == kNoZero && requires { dot.sum(); }) {
            return dot.sum();
        } else {
            return dot.sum(from);
        }
    }

    /// Minus the sum of the part's codes of x.
    I zero(std::size_t c, std::size_t part) const noexcept {
        if constexpr (kParts == 1) return V::all_ints(&x[c]->minus_sum);
        const I tail = V::all_ints(&x[c]->minus_tail);
        return part == 1 ? tail : V::sub_ints(V::all_ints(&x[c]->minus_sum), tail);
    }

    /// Minus what the code of zero contributes, from where the integer sums start.
    I zero_code(std::size_t c, std::size_t part) const noexcept {
        if constexpr (Format::kZeroShift == kNoZero) return V::zero_ints();
        return V::template shift_left < Format::kZeroShift < 0
                   ? 0
                   : Format::kZeroShift > (zero(c, part));
    }

    void multiply(std::size_t part, Dot (&dot)[C][H]) const noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            const I from = zero_code(c, part);
            SHOAL_UNROLL
            for (std::size_t h = 0; h < H; ++h) dot[c][h].start(from);
        }
        constexpr std::size_t kPlanes = From::Operand::kPlanes;
        SHOAL_UNROLL
        for (std::size_t s = 0; s < kPartSlabs * kPlanes; s += kPlanes) {
            const std::size_t first = part * kPartSlabs * kPlanes + s;
            B w[kPlanes][H];
            SHOAL_UNROLL
            for (std::size_t p = 0; p < kPlanes; ++p) {
                SHOAL_UNROLL
                for (std::size_t h = 0; h < H; ++h) {
                    w[p][h] = From::weights(at[panel(h)], row(h), first + p);
                }
            }
            SHOAL_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                SHOAL_UNROLL
                for (std::size_t p = 0; p < kPlanes; ++p) {
                    const auto in = inputs[c].step(x[c]->qs, ahead, first + p);
                    SHOAL_UNROLL
                    for (std::size_t h = 0; h < H; ++h) dot[c][h].step(s + p, w[p][h], in);
                }
            }
        }
    }

    void start(const TileArgs& a) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t h = 0; h < H; ++h) {
                acc[c][h] = V::zero();
                if (!a.resume) continue;
                const std::size_t first = h * V::kLanes;
                const float* y = y_at(a, c, h);
                if (first + V::kLanes <= a.outs) {
                    acc[c][h] = V::load(y);
                } else if (first < a.outs) {
                    acc[c][h] = V::load_first(y, a.outs - first);
                }
            }
        }
    }

    void finish(const TileArgs& a) noexcept {
        SHOAL_UNROLL
        for (std::size_t c = 0; c < C; ++c) {
            SHOAL_UNROLL
            for (std::size_t h = 0; h < H; ++h) {
                const std::size_t first = h * V::kLanes;
                float* y = y_at(a, c, h);
                if (first + V::kLanes <= a.outs) {
                    V::store(y, acc[c][h]);
                } else if (first < a.outs) {
                    V::store_first(y, acc[c][h], a.outs - first);
                }
            }
        }
    }
};

/// The size of the tiles that take what those of C rows leave.
constexpr std::size_t smaller(std::size_t c) noexcept {
    return c / 2;
}

/// All rows of x in tiles of at most C, the largest first.
template <class V, class Format, std::size_t H, std::size_t C>
inline void run_tiles(TileArgs a, std::size_t rows) noexcept {
    for (; rows >= C; rows -= C) {
        PanelTile<V, Format, H, C> tile;
        tile.run(a);
        a.x += C * a.x_stride;
        a.y += C * a.y_stride;
    }
    if constexpr (C > 1) {
        if (rows != 0) run_tiles<V, Format, H, smaller(C)>(a, rows);
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
