// Products of packed weights with quantised activations: which panels meet which rows of x when,
// the same on all vector ISAs. How a tile adds up: kernels/vector/panel_tile.hpp.
//
// A few rows of x (decode) read panels as they stream by. Many rows (prefill) meet codes that were
// expanded to bytes once, a stretch of columns that fits the first-level cache at a time.
#pragma once

#include "kernels/vector/panel_tile.hpp"

namespace shoal::kernels::vector {
namespace {

/// Groups that are expanded at a time: 16 KiB of codes for two panels.
constexpr std::size_t kStretch = 16;

/// Panels that a tile reads when rows of x are many.
template <class V>
constexpr std::size_t kTilePanels = V::kTileVectors* V::kLanes > kPanelRows ? 2 : 1;

/// Panels of one stretch of columns, as bytes and floats. A function of its own: in one with tiles
/// it would change which of their vectors GCC spills, which costs up to 12 %.
template <class V, class Format>
[[gnu::noinline]] void expand(const std::byte* at, std::size_t begin, std::size_t end,
                              std::byte* out) noexcept {
    using E = ExpandedOf<V, Format>;
    using From = Source<V, Format>;
    using F = typename V::F;
    F head[kPanelRows / V::kLanes][kHeads];
    for (std::size_t g = begin; g < end;) {
        SHOAL_UNROLL
        for (std::size_t row = 0; row < kPanelRows; row += V::kLanes) {
            load_head<V, Format>(at, row, head[row / V::kLanes]);
        }
        at += Format::kShape.head_bytes;
        for (const std::size_t next = head_end<Format>(g, end); g < next; ++g) {
            SHOAL_UNROLL
            for (std::size_t row = 0; row < kPanelRows; row += V::kLanes) {
                SHOAL_UNROLL
                for (std::size_t s = 0; s < kSlabs * From::Operand::kPlanes; ++s) {
                    V::store_bytes(out + s * kSlabBytes + row * kSlabColumns,
                                   From::Operand::kept(From::weights(at, row, s)));
                }
                F scale[E::kParts];
                F minimum[E::kParts];
                Format::scales(head[row / V::kLanes], at, row, scale, minimum);
                const auto put = [&](std::size_t i, F v) noexcept {
                    V::store_floats(out + E::kCodeBytes + i * E::kRowFloats + row * sizeof(float),
                                    v);
                };
                SHOAL_UNROLL
                for (std::size_t p = 0; p < E::kParts; ++p) {
                    put(p, scale[p]);
                    if constexpr (E::kMinimum) put(E::kParts + p, minimum[p]);
                }
            }
            at += Format::kShape.scale_bytes + Format::kShape.code_bytes;
            out += E::kShape.code_bytes;
        }
    }
}

/// Bytes before group `end` of a panel that starts at group `begin`.
template <class Format>
constexpr std::size_t offset(std::size_t begin, std::size_t end) noexcept {
    return panel_bytes(Format::kType, begin, end);
}

/// What an ISA that multiplies matrices gives instead of what follows: one panel times many rows.
template <class V, class Format>
struct MatrixProducts;

/// One or two panels times all rows of x, columns [begin, end) of the panels, which start there.
template <class V, class Format>
inline void run_panels(const TileArgs& a, std::size_t panels, std::size_t rows) noexcept {
    if (rows <= V::kStreamRows) {
        for (std::size_t p = 0; p < panels; ++p) {
            TileArgs one = a;
            one.w[0] = a.w[p];
            one.y += p * kPanelRows;
            one.outs -= p * kPanelRows;
            run_tiles<V, Format, V::kStreamVectors, V::kStreamTile>(one, rows);
        }
        return;
    }
    if constexpr (V::kMatrixProducts) return MatrixProducts<V, Format>::run(a, rows);
    using E = ExpandedOf<V, Format>;
    alignas(64) std::byte codes[kTilePanels<V>][kStretch * E::kShape.code_bytes];
    for (std::size_t p = 0; p < panels; ++p) {
        expand<V, Format>(a.w[p], a.begin, a.end, codes[p]);
    }
    // A tile may be less than a panel.
    constexpr std::size_t kTileRows = V::kTileVectors * V::kLanes;
    for (std::size_t row = 0; row < kPanelRows && row < a.outs; row += kTileRows) {
        TileArgs tile = a;
        // Codes and floats of a row lie as far apart as those of another.
        static_assert(kSlabColumns == sizeof(float));
        tile.w[0] = codes[0] + row * kSlabColumns;
        // A lone last panel is multiplied twice; y has no room for the second result.
        tile.w[1] = codes[panels - 1];
        tile.y += row;
        tile.outs -= row;
        run_tiles<V, E, V::kTileVectors, V::template kTile<Format::kBits>>(tile, rows);
    }
}

/// Groups [begin, end) of all panels.
template <class V, class Format>
inline void run_groups(const PanelMatmul& m, std::size_t begin, std::size_t end) noexcept {
    const std::size_t stride = panel_bytes(Format::kType, m.group_begin, m.group_end);
    const void* x = m.x;
    TileArgs a;
    a.begin = begin;
    a.end = end;
    a.x = static_cast<const std::byte*>(x) + (begin - m.group_begin) * sizeof(ActivationBlock);
    a.x_stride = m.x_stride;
    a.y_stride = m.y_stride;
    a.resume = begin != m.group_begin;
    for (std::size_t out = m.out_begin; out < m.out_end;) {
        const std::size_t left = m.out_end - out;
        const std::size_t panels = left > kPanelRows ? kTilePanels<V> : 1;
        a.outs = left < panels * kPanelRows ? left : panels * kPanelRows;
        a.y = m.y + out;
        a.w[0] = m.w + out / kPanelRows * stride + offset<Format>(m.group_begin, begin);
        a.w[1] = a.w[0] + stride;
        run_panels<V, Format>(a, panels, m.rows);
        out += panels * kPanelRows;
    }
}

/// Panels whose part of y is asked for together. It was written a whole layer ago, so that it lies
/// beyond the second-level cache; asked for one by one while weights stream, each cost as much as
/// ten lines of weights.
constexpr std::size_t kFetchPanels = 32;

inline void fetch_y(const PanelMatmul& m, std::size_t panel, std::size_t end) noexcept {
    constexpr int kWrite = 1;
    for (std::size_t r = 0; r < m.rows; ++r) {
        for (std::size_t p = panel; p < end && p < panel + kFetchPanels; ++p) {
            __builtin_prefetch(m.y + r * m.y_stride + m.out_begin + p * kPanelRows, kWrite);
        }
    }
}

/// A few rows of x. The panels are two streams where V reads them in pairs, their first and their
/// second half: memory answers two streams faster than one, and a pair shares the loads of x.
template <class V, class Format>
inline void stream_panels(const PanelMatmul& m) noexcept {
    const std::size_t stride = panel_bytes(Format::kType, m.group_begin, m.group_end);
    const std::size_t outs = m.out_end - m.out_begin;
    const std::size_t panels = (outs + kPanelRows - 1) / kPanelRows;
    const std::size_t pairs = m.rows <= V::kPairRows ? panels / 2 : 0;
    const void* x = m.x;
    TileArgs a;
    a.begin = m.group_begin;
    a.end = m.group_end;
    a.x = static_cast<const std::byte*>(x);
    a.x_stride = m.x_stride;
    a.y_stride = m.y_stride;
    a.resume = false;
    const auto take = [&](std::size_t first, std::size_t last) noexcept {
        a.w[0] = m.w + (m.out_begin / kPanelRows + first) * stride;
        a.w[1] = a.w[0] + (last - first) * stride;
        a.y = m.y + m.out_begin + first * kPanelRows;
        a.y_panel = (last - first) * kPanelRows;
        const std::size_t left = outs - last * kPanelRows;
        a.outs = (first == last ? 0 : kPanelRows) + (left < kPanelRows ? left : kPanelRows);
    };
    if constexpr (V::kPairRows != 0) {
        for (std::size_t p = 0; p < pairs; ++p) {
            if (p % kFetchPanels == 0) {
                fetch_y(m, p, pairs);
                fetch_y(m, pairs + p, 2 * pairs);
            }
            take(p, pairs + p);
            run_tiles<V, Format, 2 * V::kStreamVectors, V::kPairTile>(a, m.rows);
        }
    }
    for (std::size_t p = 2 * pairs; p < panels; ++p) {
        if ((p - 2 * pairs) % kFetchPanels == 0) fetch_y(m, p, panels);
        take(p, p);
        run_tiles<V, Format, V::kStreamVectors, V::kStreamTile>(a, m.rows);
    }
}

template <class V, class Format>
inline void panel_matmul(const PanelMatmul& m) noexcept {
    if (m.rows <= V::kStreamRows) return stream_panels<V, Format>(m);
    // All panels meet a stretch of x before the next: its rows stay in the second-level cache.
    for (std::size_t begin = m.group_begin; begin < m.group_end;) {
        // Stretches end where superblocks do.
        const std::size_t next = begin / kStretch * kStretch + kStretch;
        const std::size_t end = next < m.group_end ? next : m.group_end;
        run_groups<V, Format>(m, begin, end);
        begin = end;
    }
}

/// Weights in file layout: each stretch of a panel is packed into the cache, then as above.
template <class V, class Format, Table::PackFn kPack>
inline void file_matmul(const Matmul& m) noexcept {
    constexpr std::size_t kBytes = panel_bytes(Format::kType, 0, kStretch);
    alignas(64) std::byte packed[kTilePanels<V>][kBytes];
    const std::size_t groups = m.cols / kActivationBlock;
    TileArgs a;
    a.x_stride = m.x_stride;
    a.y_stride = m.y_stride;
    for (std::size_t out = m.out_begin; out < m.out_end;) {
        const std::size_t left = m.out_end - out;
        const std::size_t panels = left > kPanelRows ? kTilePanels<V> : 1;
        a.outs = left < panels * kPanelRows ? left : panels * kPanelRows;
        a.y = m.y + out;
        for (a.begin = 0; a.begin < groups; a.begin = a.end) {
            a.end = groups - a.begin < kStretch ? groups : a.begin + kStretch;
            a.resume = a.begin != 0;
            a.x = static_cast<const std::byte*>(m.x) + a.begin * sizeof(ActivationBlock);
            for (std::size_t p = 0; p < panels; ++p) {
                const std::size_t first = p * kPanelRows;
                const std::size_t rows = a.outs - first < kPanelRows ? a.outs - first : kPanelRows;
                kPack({m.w + (out + first) * m.w_stride, m.w_stride, rows, a.begin, a.end,
                       packed[p]});
                a.w[p] = packed[p];
            }
            run_panels<V, Format>(a, panels, m.rows);
        }
        out += panels * kPanelRows;
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
