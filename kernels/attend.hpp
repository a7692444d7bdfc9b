// Attention over the KV cache: how a block of the cache lies in memory, and what a kernel does
// with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::kernels {

/// Element type of K and V in the cache.
enum class KvType : std::uint8_t { f32, f16, q8_0 };
inline constexpr std::size_t kKvTypeCount = 3;

/// Positions of a block of the cache; fixed, so that results do not depend on how work is split.
inline constexpr std::size_t kAttendChunk = 128;
/// Elements that share a scale in KvType::q8_0; head_dim must be a multiple of it.
inline constexpr std::size_t kKvScaleElements = 32;
/// Query heads (rows * group) of one call at most.
inline constexpr std::size_t kMaxTileHeads = 96;
/// A larger group is called in parts.
inline constexpr std::size_t kMaxGroup = 16;

/// Bytes of K (or of V) of one head in one block.
/// f32, f16: K lies transposed, (head_dim, kAttendChunk), so that the scores of neighbouring
/// positions are neighbouring lanes; V lies (kAttendChunk, head_dim).
/// q8_0: int8 in that order, then f16 scales: K (head_dim / 32, kAttendChunk), V (kAttendChunk,
/// head_dim / 32). A value is its scale times its integer.
constexpr std::size_t kv_block_bytes(KvType type, std::size_t head_dim) noexcept {
    const std::size_t elements = kAttendChunk * head_dim;
    switch (type) {
        case KvType::f32:
            return elements * 4;
        case KvType::f16:
            return elements * 2;
        case KvType::q8_0:
            return elements + elements / kKvScaleElements * 2;
    }
    return 0;
}

/// Bytes of K (or of V) of one head at one position.
constexpr std::size_t kv_head_bytes(KvType type, std::size_t head_dim) noexcept {
    return kv_block_bytes(type, head_dim) / kAttendChunk;
}

/// Whether a cache of this type can hold heads of this size.
constexpr bool kv_head_dim_fits(KvType type, std::size_t head_dim) noexcept {
    return type != KvType::q8_0 || head_dim % kKvScaleElements == 0;
}

constexpr const char* name(KvType type) noexcept {
    switch (type) {
        case KvType::f32:
            return "f32";
        case KvType::f16:
            return "f16";
        case KvType::q8_0:
            return "q8_0";
    }
    return "unknown";
}

/// Rows of one sequence times the query heads of one KV head, against one block. Adds the block
/// to the running softmax of each (row, head): with weight = 2^(scale * (q.k - max)),
///   max' = max(max, q.k), sum' = 2^(scale * (max - max')) sum + sum of weights,
///   acc' = 2^(scale * (max - max')) acc + sum of weight * v.
/// A new softmax has max = -infinity, sum = 0, acc = 0. The numbers of a (row, head) depend on
/// its q, its state, its positions and the block, not on what else is in the call. Positions that
/// no row sees may hold anything.
struct AttendTile {
    const float* q;                  ///< (rows, group, head_dim); read
    std::size_t q_stride;            ///< floats from one row of q to the next
    const std::byte* k;              ///< see kv_block_bytes; read
    const std::byte* v;              ///< see kv_block_bytes; read
    const std::byte* next;           ///< K that the next call will read, or null: fetched early
    const std::uint32_t* positions;  ///< (rows) each sees the first 1..kAttendChunk positions; read
    std::size_t rows;
    std::size_t group;  ///< query heads; rows * group is at most kMaxTileHeads
    std::size_t head_dim;
    float scale;  ///< positive; log2(e) is part of it
    float* max;   ///< (rows, group) largest q.k, not scaled; read and written
    float* sum;   ///< (rows, group); read and written
    float* acc;   ///< (rows, group, head_dim); read and written
};

using AttendFn = void (*)(const AttendTile&) noexcept;

}  // namespace shoal::kernels
