// Attention of a tile of rows and heads over one block of positions.
//
// Every sum runs in an order that depends on neither the tile nor the width of the ISA: scores
// along the head, weighted values along the positions, weights in sixteen lanes. Tiles of heads
// only share the loads and conversions of K and V.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/vector/elements.hpp"
#include "kernels/vector/exp.hpp"
#include "kernels/vector/tiling.hpp"

namespace shoal::kernels::vector {
namespace {

/// Heads of a register tile.
constexpr std::size_t kHeadTile = 6;
/// Heads that read K and V straight from the block.
constexpr std::size_t kDirectHeads = 2 * kHeadTile;
/// Part of a block as f32, read by all heads of the call: 32 KiB, which fit the first-level cache
/// of all but the smallest cores. K: (kPanelDims, kPanelPositions), V: (kAttendChunk,
/// kPanelColumns).
constexpr std::size_t kPanelPositions = 64;
constexpr std::size_t kPanelDims = 128;
constexpr std::size_t kPanelColumns = 64;
constexpr std::size_t kPanelFloats = 8192;
static_assert(kPanelDims * kPanelPositions == kPanelFloats);
static_assert(kAttendChunk * kPanelColumns == kPanelFloats);
/// Lanes in which weights are summed up.
constexpr std::size_t kSumLanes = 16;

/// What the heads of a call keep beside their state.
struct alignas(64) Work {
    float rows[kMaxTileHeads][kAttendChunk];  // scores, then weights
    float panel[kPanelFloats];
    float factors[kMaxTileHeads];  // by which older sums shrink
    const float* q[kMaxTileHeads];
    std::size_t positions[kMaxTileHeads];
    std::size_t heads;
    std::size_t longest;  // of positions
};

constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit * unit;
}

/// A matrix of elements in memory, and what will be read after it.
struct Source {
    const std::byte* at;
    std::size_t stride;      // bytes from one row to the next
    const std::byte* ahead;  // null: nothing is to be fetched

    /// From a column on; what lies ahead moves by the elements that were read before it.
    Source from(std::size_t column_bytes, std::size_t rows) const noexcept {
        return {at + column_bytes, stride,
                ahead == nullptr ? nullptr : ahead + column_bytes * rows};
    }
};

inline Source source_of(const float* at, std::size_t stride) noexcept {
    return {reinterpret_cast<const std::byte*>(at), stride * sizeof(float), nullptr};
}

/// To the second-level cache: K and V of a block together may be more than the first one holds.
inline void fetch(const std::byte* at) noexcept {
    __builtin_prefetch(at, 0, 2);
}

/// Fetches as much from ahead as a tile of N vectors reads in row i: K is as large as V, so when
/// one has been read the other has been asked for. A core's own prefetcher starts anew in each
/// block and page, which halves the speed of a decoding row.
template <class V, class Element, std::size_t N>
inline void fetch_ahead(const Source& source, std::size_t i) noexcept {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kBytes = N * V::kLanes * Element::kBytes;
    const std::byte* at = source.ahead + i * kBytes;
    SHOAL_UNROLL
    for (std::size_t b = 0; b < kBytes; b += kLine) fetch(at + b);
}

/// q . k of G heads with N vectors of positions, over `dims` elements of the head.
template <class V, class Element, std::size_t G, std::size_t N>
inline void score_tile(const float* const* q, std::size_t first, std::size_t dims, Source k,
                       float* scores, bool resume) noexcept {
    using F = typename V::F;
    F acc[G][N];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            acc[g][n] = resume ? V::load(scores + g * kAttendChunk + n * V::kLanes) : V::zero();
        }
    }
    for (std::size_t i = 0; i < dims; ++i) {
        const std::byte* at = k.at + i * k.stride;
        if (k.ahead != nullptr) fetch_ahead<V, Element, N>(k, i);
        F keys[N];
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            keys[n] = Element::load(at + n * V::kLanes * Element::kBytes);
        }
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const F query = V::all(q[g][first + i]);
            SHOAL_UNROLL
            for (std::size_t n = 0; n < N; ++n) acc[g][n] = V::fma(query, keys[n], acc[g][n]);
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            V::store(scores + g * kAttendChunk + n * V::kLanes, acc[g][n]);
        }
    }
}

/// Scores of G heads with positions [0, count), a multiple of the lanes.
template <class V, class Element, std::size_t G, std::size_t N = V::attend_vectors(G)>
inline void score_positions(const float* const* q, std::size_t first, std::size_t dims, Source k,
                            float* scores, std::size_t count, bool resume) noexcept {
    constexpr std::size_t kWidth = N * V::kLanes;
    std::size_t p = 0;
    for (; p + kWidth <= count; p += kWidth) {
        score_tile<V, Element, G, N>(q, first, dims, k.from(p * Element::kBytes, dims), scores + p,
                                     resume);
    }
    if constexpr (N > 1) {
        if (p < count) {
            score_positions<V, Element, G, N / 2>(q, first, dims, k.from(p * Element::kBytes, dims),
                                                  scores + p, count - p, resume);
        }
    }
}

/// acc = factor * acc + weighted sum of V over positions [begin, end), for G heads and N vectors
/// of columns, one position after another.
template <class V, class Element, std::size_t G, std::size_t N>
inline void value_tile(const float* weights, const float* factors, std::size_t begin,
                       std::size_t end, Source v, float* out, std::size_t head_dim) noexcept {
    using F = typename V::F;
    F acc[G][N];
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        const F factor = V::all(factors[g]);
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            acc[g][n] = V::mul(V::load(out + g * head_dim + n * V::kLanes), factor);
        }
    }
    for (std::size_t p = begin; p < end; ++p) {
        const std::byte* at = v.at + p * v.stride;
        if (v.ahead != nullptr) fetch_ahead<V, Element, N>(v, p);
        F values[N];
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            values[n] = Element::load(at + n * V::kLanes * Element::kBytes);
        }
        SHOAL_UNROLL
        for (std::size_t g = 0; g < G; ++g) {
            const F weight = V::all(weights[g * kAttendChunk + p]);
            SHOAL_UNROLL
            for (std::size_t n = 0; n < N; ++n) acc[g][n] = V::fma(weight, values[n], acc[g][n]);
        }
    }
    SHOAL_UNROLL
    for (std::size_t g = 0; g < G; ++g) {
        SHOAL_UNROLL
        for (std::size_t n = 0; n < N; ++n) {
            V::store(out + g * head_dim + n * V::kLanes, acc[g][n]);
        }
    }
}

/// Weighted sums of G heads for columns [0, count), a multiple of the lanes.
template <class V, class Element, std::size_t G, std::size_t N = V::attend_vectors(G)>
inline void value_columns(const float* weights, const float* factors, std::size_t begin,
                          std::size_t end, Source v, float* out, std::size_t head_dim,
                          std::size_t count) noexcept {
    constexpr std::size_t kWidth = N * V::kLanes;
    std::size_t c = 0;
    for (; c + kWidth <= count; c += kWidth) {
        value_tile<V, Element, G, N>(weights, factors, begin, end,
                                     v.from(c * Element::kBytes, kAttendChunk), out + c, head_dim);
    }
    if constexpr (N > 1) {
        if (c < count) {
            value_columns<V, Element, G, N / 2>(weights, factors, begin, end,
                                                v.from(c * Element::kBytes, kAttendChunk), out + c,
                                                head_dim, count - c);
        }
    }
}

/// The last columns of a head, fewer than the lanes; V as f32 with whole vectors in memory.
template <class V>
inline void value_rest(const float* weights, float factor, std::size_t positions, Source v,
                       float* out, std::size_t count) noexcept {
    auto acc = V::mul(V::load_first(out, count), V::all(factor));
    for (std::size_t p = 0; p < positions; ++p) {
        acc = V::fma(V::all(weights[p]), F32<V>::load(v.at + p * v.stride), acc);
    }
    V::store_first(out, acc, count);
}

/// Calls fn.template operator()<G>(first head) for tiles of even size that cover all heads.
template <class Fn>
inline void for_head_tiles(std::size_t heads, Fn&& fn) noexcept {
    const std::size_t tiles = (heads + kHeadTile - 1) / kHeadTile;
    std::size_t head = 0;
    for (std::size_t t = 1; t <= tiles; ++t) {
        const std::size_t end = heads * t / tiles;
        switch (end - head) {
            case 1:
                fn.template operator()<1>(head);
                break;
            case 2:
                fn.template operator()<2>(head);
                break;
            case 3:
                fn.template operator()<3>(head);
                break;
            case 4:
                fn.template operator()<4>(head);
                break;
            case 5:
                fn.template operator()<5>(head);
                break;
            default:
                fn.template operator()<6>(head);
                break;
        }
        head = end;
    }
}

/// The most positions that one of G heads sees.
template <std::size_t G>
inline std::size_t most(const std::size_t* positions) noexcept {
    std::size_t n = positions[0];
    for (std::size_t g = 1; g < G; ++g) n = positions[g] > n ? positions[g] : n;
    return n;
}

template <std::size_t G>
inline std::size_t least(const std::size_t* positions) noexcept {
    std::size_t n = positions[0];
    for (std::size_t g = 1; g < G; ++g) n = positions[g] < n ? positions[g] : n;
    return n;
}

/// Scores of all heads, K straight from the block.
template <class V, class Element>
inline void score_directly(const AttendTile& a, Work& w) noexcept {
    for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
        const std::byte* ahead = h == 0 ? a.v : nullptr;
        score_positions<V, Element, G>(w.q + h, 0, a.head_dim,
                                       {a.k, kAttendChunk * Element::kBytes, ahead}, w.rows[h],
                                       round_up(most<G>(w.positions + h), V::kLanes), false);
    });
}

/// Scores of all heads, K in panels that are converted once.
template <class V, class Format>
inline void score_by_panels(const AttendTile& a, Work& w) noexcept {
    const std::size_t longest = round_up(w.longest, V::kLanes);
    for (std::size_t p = 0; p < longest; p += kPanelPositions) {
        const std::size_t width = longest - p < kPanelPositions ? longest - p : kPanelPositions;
        for (std::size_t i = 0; i < a.head_dim; i += kPanelDims) {
            const std::size_t dims = a.head_dim - i < kPanelDims ? a.head_dim - i : kPanelDims;
            Format::keys(a, i, dims, p, width, w.panel);
            for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
                const std::size_t seen = round_up(most<G>(w.positions + h), V::kLanes);
                if (seen <= p) return;
                score_positions<V, F32<V>, G>(w.q + h, i, dims, source_of(w.panel, kPanelPositions),
                                              w.rows[h] + p, seen - p < width ? seen - p : width,
                                              i != 0);
            });
        }
    }
}

/// The new maxima, and the factors that they mean for older sums.
template <class V>
inline void find_maxima(const AttendTile& a, Work& w) noexcept {
    for (std::size_t h = 0; h < w.heads; ++h) {
        float* row = w.rows[h];
        for (std::size_t p = w.positions[h]; p % kSumLanes != 0; ++p) row[p] = -__builtin_inff();
        auto lanes = V::all(-__builtin_inff());
        for (std::size_t p = 0; p < w.positions[h]; p += V::kLanes) {
            // Passes over NaNs, which then show in the weights.
            lanes = V::max_number(V::load(row + p), lanes);
        }
        const float here = V::max(lanes);
        const float old = a.max[h];
        a.max[h] = here > old ? here : old;
        w.factors[h] = (old - a.max[h]) * a.scale;
    }
    for (std::size_t h = w.heads; h % V::kLanes != 0; ++h) w.factors[h] = 0;
    for (std::size_t h = 0; h < w.heads; h += V::kLanes) {
        V::store(w.factors + h, exp2_nonpositive<V>(V::load(w.factors + h)));
    }
}

/// Turns scores into weights and adds them up. Lanes beyond the last position become zero.
template <class V>
inline void weigh(const AttendTile& a, Work& w) noexcept {
    using F = typename V::F;
    constexpr std::size_t kParts = kSumLanes / V::kLanes;
    const F scale = V::all(a.scale);
    for (std::size_t h = 0; h < w.heads; ++h) {
        const F max = V::all(a.max[h]);
        F sums[kParts];
        for (std::size_t j = 0; j < kParts; ++j) sums[j] = V::zero();
        for (std::size_t p = 0; p < w.positions[h]; p += kSumLanes) {
            SHOAL_UNROLL
            for (std::size_t j = 0; j < kParts; ++j) {
                float* at = w.rows[h] + p + j * V::kLanes;
                const F weight = exp2_nonpositive<V>(V::mul(V::sub(V::load(at), max), scale));
                V::store(at, weight);
                sums[j] = V::add(sums[j], weight);
            }
        }
        F all = sums[0];
        for (std::size_t j = 1; j < kParts; ++j) all = V::add(all, sums[j]);
        a.sum[h] = a.sum[h] * w.factors[h] + V::sum(all);
    }
}

/// Weighted sums of all heads over columns [column, column + count) of V. Positions that all
/// heads of a tile see go together; a head alone goes on where the others must not look.
template <class V, class Element>
inline void add_values(const AttendTile& a, const Work& w, Source v, std::size_t column,
                       std::size_t count) noexcept {
    // v.ahead is for the first tile alone.
    static constexpr float kOne = 1.0f;
    for_head_tiles(w.heads, [&]<std::size_t G>(std::size_t h) noexcept {
        const std::size_t common = least<G>(w.positions + h);
        float* out = a.acc + h * a.head_dim + column;
        value_columns<V, Element, G>(w.rows[h], w.factors + h, 0, common, v, out, a.head_dim,
                                     count);
        v.ahead = nullptr;
        for (std::size_t g = 0; g < G; ++g) {
            const std::size_t own = w.positions[h + g];
            if (own == common) continue;
            value_columns<V, Element, 1>(w.rows[h + g], &kOne, common, own, v, out + g * a.head_dim,
                                         a.head_dim, count);
        }
    });
}

/// Columns from `column` on, V in panels that are converted once.
template <class V, class Format>
inline void add_values_by_panels(const AttendTile& a, Work& w, std::size_t column) noexcept {
    for (; column < a.head_dim; column += kPanelColumns) {
        const std::size_t left = a.head_dim - column;
        const std::size_t width = left < kPanelColumns ? left : kPanelColumns;
        const std::size_t whole = width / V::kLanes * V::kLanes;
        Format::values(a, w.longest, column, width, w.panel);
        if (whole != 0) {
            add_values<V, F32<V>>(a, w, source_of(w.panel, kPanelColumns), column, whole);
        }
        if (whole == width) continue;
        for (std::size_t h = 0; h < w.heads; ++h) {
            value_rest<V>(w.rows[h], w.factors[h], w.positions[h],
                          source_of(w.panel + whole, kPanelColumns),
                          a.acc + h * a.head_dim + column + whole, width - whole);
        }
    }
}

/// K and V that are stored as floats of some width.
template <class V, class E>
struct FloatFormat {
    using Element = E;
    static constexpr bool kDirect = true;

    static void keys(const AttendTile& a, std::size_t dim, std::size_t dims, std::size_t position,
                     std::size_t count, float* panel) noexcept {
        for (std::size_t i = 0; i < dims; ++i, panel += kPanelPositions) {
            const std::byte* at = a.k + ((dim + i) * kAttendChunk + position) * E::kBytes;
            for (std::size_t p = 0; p < count; p += V::kLanes) {
                V::store(panel + p, E::load(at + p * E::kBytes));
            }
        }
    }

    static void values(const AttendTile& a, std::size_t positions, std::size_t column,
                       std::size_t count, float* panel) noexcept {
        for (std::size_t p = 0; p < positions; ++p, panel += kPanelColumns) {
            const std::byte* at = a.v + (p * a.head_dim + column) * E::kBytes;
            std::size_t c = 0;
            for (; c + V::kLanes <= count; c += V::kLanes) {
                V::store(panel + c, E::load(at + c * E::kBytes));
            }
            if (c < count) V::store(panel + c, E::load_first(at + c * E::kBytes, count - c));
        }
    }
};

/// K and V of KvType::q8_0. Scale times integer has 18 significant bits: f32 holds it exactly.
template <class V>
struct Q8Format {
    static constexpr bool kDirect = false;
    static constexpr std::size_t kScale = kKvScaleElements;

    static void keys(const AttendTile& a, std::size_t dim, std::size_t dims, std::size_t position,
                     std::size_t count, float* panel) noexcept {
        const std::byte* scales = a.k + a.head_dim * kAttendChunk;
        for (std::size_t i = 0; i < dims; i += kScale) {
            const std::byte* scale_row =
                scales + ((dim + i) / kScale * kAttendChunk + position) * 2;
            // As much of V as this reads of K.
            const std::byte* ahead = a.v + position * a.head_dim + (dim + i) * kPanelPositions;
            for (std::size_t j = 0; j < kScale; ++j) fetch(ahead + j * kPanelPositions);
            for (std::size_t p = 0; p < count; p += V::kLanes) {
                const auto scale = V::load_f16(scale_row + p * 2);
                const std::byte* at = a.k + (dim + i) * kAttendChunk + position + p;
                for (std::size_t j = 0; j < kScale; ++j) {
                    V::store(panel + (i + j) * kPanelPositions + p,
                             V::mul(V::load_s8(at + j * kAttendChunk), scale));
                }
            }
        }
    }

    static void values(const AttendTile& a, std::size_t positions, std::size_t column,
                       std::size_t count, float* panel) noexcept {
        const std::byte* scales = a.v + a.head_dim * kAttendChunk;
        for (std::size_t p = 0; p < positions; ++p, panel += kPanelColumns) {
            const std::byte* at = a.v + p * a.head_dim + column;
            const std::byte* scale_at = scales + (p * a.head_dim + column) / kScale * 2;
            if (a.next != nullptr) fetch(a.next + column * kAttendChunk + p * kPanelColumns);
            for (std::size_t c = 0; c < count; c += kScale, scale_at += 2) {
                const auto scale = V::all_f16(scale_at);
                SHOAL_UNROLL
                for (std::size_t j = 0; j < kScale; j += V::kLanes) {
                    V::store(panel + c + j, V::mul(V::load_s8(at + c + j), scale));
                }
            }
        }
    }
};

template <class V, class Format>
inline void attend(const AttendTile& a) noexcept {
    Work w;
    w.heads = a.rows * a.group;
    w.longest = 0;
    for (std::size_t r = 0, h = 0; r < a.rows; ++r) {
        const std::size_t positions = a.positions[r];
        if (positions > w.longest) w.longest = positions;
        for (std::size_t g = 0; g < a.group; ++g, ++h) {
            w.q[h] = a.q + r * a.q_stride + g * a.head_dim;
            w.positions[h] = positions;
        }
    }
    // A panel pays when several register tiles read it.
    if constexpr (Format::kDirect) {
        using Element = typename Format::Element;
        if (w.heads <= kDirectHeads) {
            score_directly<V, Element>(a, w);
            find_maxima<V>(a, w);
            weigh<V>(a, w);
            const std::size_t whole = a.head_dim / V::kLanes * V::kLanes;
            add_values<V, Element>(a, w, {a.v, a.head_dim * Element::kBytes, a.next}, 0, whole);
            add_values_by_panels<V, Format>(a, w, whole);
            return;
        }
    }
    score_by_panels<V, Format>(a, w);
    find_maxima<V>(a, w);
    weigh<V>(a, w);
    add_values_by_panels<V, Format>(a, w, 0);
}

template <class V>
inline void attend_f32(const AttendTile& a) noexcept {
    attend<V, FloatFormat<V, F32<V>>>(a);
}

template <class V>
inline void attend_f16(const AttendTile& a) noexcept {
    attend<V, FloatFormat<V, F16<V>>>(a);
}

template <class V>
inline void attend_q8_0(const AttendTile& a) noexcept {
    attend<V, Q8Format<V>>(a);
}

}  // namespace
}  // namespace shoal::kernels::vector
