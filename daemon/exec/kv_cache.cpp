#include "daemon/exec/kv_cache.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

namespace shoal::exec {

KvCache::KvCache(const KvShape& shape, std::uint64_t positions)
    : shape_(shape),
      head_bytes_(kernels::kv_block_bytes(shape.type, shape.head_dim)),
      block_bytes_(std::size_t{2} * shape.layers * shape.kv_heads * head_bytes_) {
    assert(kernels::kv_head_dim_fits(shape.type, shape.head_dim));
    const std::uint64_t count = (positions + kBlockPositions - 1) / kBlockPositions;
    if (count > UINT32_MAX || (block_bytes_ != 0 && count > SIZE_MAX / 2 / block_bytes_)) {
        throw std::bad_alloc();
    }
    // A device without heads keeps the bookkeeping and no memory.
    memory_ = MappedMemory(block_bytes_ * count);
    refs_.assign(count, 0);
    clear();
}

bool KvCache::take_block(std::uint32_t* id) noexcept {
    if (free_.empty()) return false;
    *id = free_.back();
    free_.pop_back();
    refs_[*id] = 1;
    return true;
}

bool KvCache::reserve(SequenceId sequence, std::uint32_t begin, std::uint32_t end) {
    std::vector<std::uint32_t>& list = sequences_[sequence];
    // A new sequence's list takes all its memory at once: later steps allocate nothing.
    if (list.empty()) list.reserve(refs_.size());
    const std::uint32_t needed = (end + kBlockPositions - 1) / kBlockPositions;
    const std::uint32_t first = begin / kBlockPositions;
    for (std::uint32_t b = first; b < std::min<std::size_t>(needed, list.size()); ++b) {
        if (refs_[list[b]] == 1) continue;
        std::uint32_t own = 0;
        if (!take_block(&own)) return false;
        if (!memory_.empty()) {
            std::memcpy(memory_.data() + own * block_bytes_,
                        memory_.data() + list[b] * block_bytes_, block_bytes_);
        }
        --refs_[list[b]];
        list[b] = own;
    }
    while (list.size() < needed) {
        std::uint32_t id = 0;
        if (!take_block(&id)) return false;
        list.push_back(id);
    }
    return true;
}

bool KvCache::fork(SequenceId from, SequenceId to, std::uint32_t positions) {
    const auto source = sequences_.find(from);
    const std::uint32_t needed = (positions + kBlockPositions - 1) / kBlockPositions;
    if (source == sequences_.end() || source->second.size() < needed || sequences_.contains(to)) {
        return false;
    }
    std::vector<std::uint32_t>& list = sequences_[to];
    list.reserve(refs_.size());
    list.assign(source->second.begin(), source->second.begin() + needed);
    for (const std::uint32_t id : list) ++refs_[id];
    return true;
}

void KvCache::release(SequenceId sequence) noexcept {
    const auto it = sequences_.find(sequence);
    if (it == sequences_.end()) return;
    for (const std::uint32_t id : it->second) {
        if (--refs_[id] == 0) free_.push_back(id);
    }
    sequences_.erase(it);
}

void KvCache::clear() noexcept {
    sequences_.clear();
    std::fill(refs_.begin(), refs_.end(), 0);
    free_.resize(refs_.size());
    // The last is taken first: low blocks come first, which keeps touched memory together.
    for (std::size_t i = 0; i < free_.size(); ++i) {
        free_[i] = static_cast<std::uint32_t>(free_.size() - 1 - i);
    }
}

std::span<const std::uint32_t> KvCache::blocks(SequenceId sequence) const noexcept {
    const auto it = sequences_.find(sequence);
    return it == sequences_.end() ? std::span<const std::uint32_t>{} : it->second;
}

std::byte* KvCache::k(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept {
    assert(layer < shape_.layers && head < shape_.kv_heads);
    const std::size_t index = (std::size_t{layer} * shape_.kv_heads + head) * 2;
    return memory_.data() + block * block_bytes_ + index * head_bytes_;
}

std::byte* KvCache::v(std::uint32_t block, std::uint32_t layer, std::uint32_t head) const noexcept {
    return k(block, layer, head) + head_bytes_;
}

std::uint32_t KvCache::used_blocks() const noexcept {
    return static_cast<std::uint32_t>(refs_.size() - free_.size());
}

}  // namespace shoal::exec
