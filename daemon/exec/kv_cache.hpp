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
};

/// Externally synchronised; reading and writing different positions of prepared sequences from
/// several threads is safe.
class KvCache {
  public:
    /// Positions of a block; one attention chunk.
    static constexpr std::uint32_t kBlockPositions = kernels::kAttendChunk;

    /// Address space for `positions` (rounded up to blocks) is reserved at once, memory is taken
    /// as it is written. Throws std::bad_alloc. Requires: a head_dim that the type can hold, see
    /// kernels::kv_head_dim_fits.
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
    /// All of one block, as it lies in memory: for each layer and head K, then V.
    std::span<std::byte> block(std::uint32_t id) const noexcept {
        return {memory_.data() + id * block_bytes_, block_bytes_};
    }
    /// K (or V) of one head in one block, as kernels::kv_block_bytes says.
    std::byte* k(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept;
    std::byte* v(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept;

    /// Write K (or V) of one head at `count` positions from `position` of a block on; x: (count,
    /// head_dim) at stride `stride` floats. Different positions may be written at the same time.
    void store_k(const kernels::Table& kernels, std::uint32_t block, std::uint32_t layer,
                 std::uint32_t head, std::size_t position, std::size_t count, const float* x,
                 std::size_t stride) const noexcept;
    void store_v(const kernels::Table& kernels, std::uint32_t block, std::uint32_t layer,
                 std::uint32_t head, std::size_t position, std::size_t count, const float* x,
                 std::size_t stride) const noexcept;

    const KvShape& shape() const noexcept { return shape_; }
    /// Bytes of k() and of v().
    std::size_t head_bytes() const noexcept { return head_bytes_; }
    std::uint32_t capacity_blocks() const noexcept {
        return static_cast<std::uint32_t>(refs_.size());
    }
    std::uint32_t used_blocks() const noexcept;
    /// 2 x layers x KV heads x head_dim x positions x element size for all blocks; an element of
    /// q8_0 takes 34/32 bytes.
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
