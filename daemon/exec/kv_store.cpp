// Writing K and V into the cache. K lies transposed, so a position's elements are scattered over
// the block; rows that are written together become runs of neighbouring elements.
#include <algorithm>
#include <cstring>

#include "daemon/exec/kv_cache.hpp"
#include "daemon/model/hparams_limits.hpp"

namespace shoal::exec {
namespace {

using kernels::kAttendChunk;
using kernels::KvType;

constexpr std::size_t kMaxHeadDim = model::limits::kMaxHeadDim;
constexpr std::size_t kScale = kernels::kKvScaleElements;
// Rows that are transposed together: 16 f16 are half a cache line, and the tile fits the stack.
constexpr std::size_t kTileRows = 16;

// A block of the kernels' Q8_0 payloads.
struct Q8Block {
    std::uint16_t scale;
    std::int8_t values[kScale];
};
static_assert(sizeof(Q8Block) == 34);

// The rows of x in the cache's type, before they find their places.
template <typename Element>
struct Tile {
    Element rows[kTileRows][kMaxHeadDim];
};

template <typename Element>
void scatter(const Tile<Element>& tile, std::size_t count, std::size_t head_dim,
             std::byte* to) noexcept {
    for (std::size_t i = 0; i < head_dim; ++i, to += kAttendChunk * sizeof(Element)) {
        Element run[kTileRows];
        for (std::size_t r = 0; r < count; ++r) run[r] = tile.rows[r][i];
        std::memcpy(to, run, count * sizeof(Element));
    }
}

void scatter_q8(const Q8Block (&rows)[kTileRows][kMaxHeadDim / kScale], std::size_t count,
                std::size_t head_dim, std::byte* values, std::byte* scales) noexcept {
    for (std::size_t i = 0; i < head_dim; ++i, values += kAttendChunk) {
        std::int8_t run[kTileRows];
        for (std::size_t r = 0; r < count; ++r) run[r] = rows[r][i / kScale].values[i % kScale];
        std::memcpy(values, run, count);
    }
    for (std::size_t b = 0; b < head_dim / kScale; ++b, scales += kAttendChunk * 2) {
        std::uint16_t run[kTileRows];
        for (std::size_t r = 0; r < count; ++r) run[r] = rows[r][b].scale;
        std::memcpy(scales, run, count * sizeof run[0]);
    }
}

void store_k_tile(const kernels::Table& kernels, KvType type, std::size_t head_dim,
                  std::size_t position, std::size_t count, const float* x, std::size_t stride,
                  std::byte* block) noexcept {
    switch (type) {
        case KvType::f32: {
            Tile<float> tile;
            for (std::size_t r = 0; r < count; ++r) {
                std::copy_n(x + r * stride, head_dim, tile.rows[r]);
            }
            scatter(tile, count, head_dim, block + position * sizeof(float));
            return;
        }
        case KvType::f16: {
            Tile<std::uint16_t> tile;
            for (std::size_t r = 0; r < count; ++r) {
                kernels.f32_to_f16(x + r * stride, tile.rows[r], head_dim);
            }
            scatter(tile, count, head_dim, block + position * sizeof(std::uint16_t));
            return;
        }
        case KvType::q8_0: {
            Q8Block rows[kTileRows][kMaxHeadDim / kScale];
            for (std::size_t r = 0; r < count; ++r) {
                kernels.quantize_q8_0(x + r * stride, reinterpret_cast<std::byte*>(rows[r]),
                                      head_dim);
            }
            std::byte* scales = block + head_dim * kAttendChunk;
            scatter_q8(rows, count, head_dim, block + position, scales + position * 2);
            return;
        }
    }
}

void store_v_row(const kernels::Table& kernels, KvType type, std::size_t head_dim,
                 std::size_t position, const float* x, std::byte* block) noexcept {
    const std::size_t at = position * head_dim;
    switch (type) {
        case KvType::f32:
            std::memcpy(block + at * sizeof(float), x, head_dim * sizeof(float));
            return;
        case KvType::f16:
            kernels.f32_to_f16(x, reinterpret_cast<std::uint16_t*>(block) + at, head_dim);
            return;
        case KvType::q8_0: {
            Q8Block row[kMaxHeadDim / kScale];
            kernels.quantize_q8_0(x, reinterpret_cast<std::byte*>(row), head_dim);
            std::byte* scales = block + head_dim * kAttendChunk + at / kScale * 2;
            for (std::size_t b = 0; b < head_dim / kScale; ++b) {
                std::memcpy(block + at + b * kScale, row[b].values, kScale);
                std::memcpy(scales + b * 2, &row[b].scale, 2);
            }
            return;
        }
    }
}

}  // namespace

void KvCache::store_k(const kernels::Table& kernels, std::uint32_t block, std::uint32_t layer,
                      std::uint32_t head, std::size_t position, std::size_t count, const float* x,
                      std::size_t stride) const noexcept {
    std::byte* to = k(block, layer, head);
    for (std::size_t r = 0; r < count; r += kTileRows) {
        store_k_tile(kernels, shape_.type, shape_.head_dim, position + r,
                     std::min(kTileRows, count - r), x + r * stride, stride, to);
    }
}

void KvCache::store_v(const kernels::Table& kernels, std::uint32_t block, std::uint32_t layer,
                      std::uint32_t head, std::size_t position, std::size_t count, const float* x,
                      std::size_t stride) const noexcept {
    std::byte* to = v(block, layer, head);
    for (std::size_t r = 0; r < count; ++r) {
        store_v_row(kernels, shape_.type, shape_.head_dim, position + r, x + r * stride, to);
    }
}

}  // namespace shoal::exec
