// What a closure has seen already.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace shoal::grammar {

/// A set of pairs of numbers that is emptied in no time, for the next closure. Externally
/// synchronised.
class ItemSet {
  public:
    void clear() noexcept {
        size_ = 0;
        if (++round_ != 0) return;
        slots_.assign(slots_.size(), {});
        round_ = 1;
    }
    std::size_t size() const noexcept { return size_; }

    /// False when it is there already.
    bool insert(std::uint32_t first, std::uint32_t second) {
        if (size_ * 2 >= slots_.size()) grow();
        if (!put({first, second, round_})) return false;
        ++size_;
        return true;
    }

  private:
    struct Slot {
        std::uint32_t first = 0, second = 0;
        std::uint32_t round = 0;  ///< an older one: empty
    };

    bool put(const Slot& slot) noexcept {
        const std::uint64_t key = std::uint64_t{slot.first} << 32 | slot.second;
        const std::size_t mask = slots_.size() - 1;
        // Fibonacci hashing: the product's high half depends on every bit of the key.
        auto at = static_cast<std::size_t>(((key ^ key >> 29) * 0x9E3779B97F4A7C15U) >> 32) & mask;
        for (; slots_[at].round == round_; at = (at + 1) & mask) {
            if (slots_[at].first == slot.first && slots_[at].second == slot.second) return false;
        }
        slots_[at] = slot;
        return true;
    }
    void grow() {
        std::vector<Slot> old(slots_.size() * 2);
        old.swap(slots_);
        for (const Slot& slot : old) {
            if (slot.round == round_) put(slot);
        }
    }

    std::vector<Slot> slots_ = std::vector<Slot>(64);
    std::uint32_t round_ = 1;
    std::size_t size_ = 0;
};

}  // namespace shoal::grammar
