// The KV cache: blocks of positions that sequences list and share by reference count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "daemon/exec/mapped_memory.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

using SequenceId = std::uint32_t;

/// What a cache holds: this device's own KV heads, never repeated ones.
struct KvShape {
    std::uint32_t layers = 0;
    std::uint32_t kv_heads = 0;
    std::uint32_t head_dim = 0;
    kernels::KvType type = kernels::KvType::f16;

    std::size_t element_bytes() const noexcept { return type == kernels::KvType::f32 ? 4 : 2; }
};

/// Externally synchronised; reading and writing different positions of prepared sequences from
/// several threads is safe.
class KvCache {
  public:
    /// Positions of a block; one attention chunk.
    static constexpr std::uint32_t kBlockPositions = kernels::kAttendChunk;

    /// Address space for `positions` (rounded up to blocks) is reserved at once, memory is taken
    /// as it is written. Throws std::bad_alloc.
    KvCache(const KvShape& shape, std::uint64_t positions);

    /// Make room for positions [0, end) of a sequence, creating it if need be; copies a block
    /// that is shared and would be written from `begin` on. False when no block is free (the
    /// sequence keeps what it has).
    [[nodiscard]] bool reserve(SequenceId sequence, std::uint32_t begin, std::uint32_t end);
    /// `to` starts with the first `positions` of `from`, sharing its blocks; `to` must be new.
    /// False when `from` has fewer positions or `to` exists.
    [[nodiscard]] bool fork(SequenceId from, SequenceId to, std::uint32_t positions);
    /// Forget a sequence; unknown ones are ignored.
    void release(SequenceId sequence) noexcept;
    void clear() noexcept;

    /// The ids of a sequence's blocks, in the order of its positions; empty when unknown.
    std::span<const std::uint32_t> blocks(SequenceId sequence) const noexcept;
    /// K (or V) of one head in one block: (kBlockPositions, head_dim) elements, dense.
    std::byte* k(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept;
    std::byte* v(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept;

    const KvShape& shape() const noexcept { return shape_; }
    std::size_t position_bytes() const noexcept { return shape_.head_dim * shape_.element_bytes(); }
    std::uint32_t capacity_blocks() const noexcept {
        return static_cast<std::uint32_t>(refs_.size());
    }
    std::uint32_t used_blocks() const noexcept;
    /// 2 x layers x KV heads x head_dim x positions x element size for all blocks.
    std::uint64_t bytes() const noexcept { return std::uint64_t{block_bytes_} * capacity_blocks(); }

  private:
    bool take_block(std::uint32_t* id) noexcept;

    KvShape shape_;
    std::size_t head_bytes_;  // K or V of one head in one block
    std::size_t block_bytes_;
    MappedMemory memory_;
    std::vector<std::uint32_t> refs_;
    std::vector<std::uint32_t> free_;
    std::map<SequenceId, std::vector<std::uint32_t>> sequences_;
};

}  // namespace shoal::exec
