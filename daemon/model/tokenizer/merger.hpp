// Merging neighbouring symbols, best pair first: the core of both kinds of tokenizers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "daemon/model/tokenizer.hpp"

namespace shoal::model {

/// Symbols in a linked list, and a priority queue of the pairs that can merge. A merge removes one
/// symbol and queues at most two new pairs, so n symbols take O(n log n). Keeps its memory
/// for the next text. Owned by one thread.
class Merger {
  public:
    struct Symbol {
        std::int32_t prev, next;  ///< -1 at the ends
        TokenId id;               ///< kNoToken: no token has this text
        TokenId merged;           ///< what it and the next one merge to, or kNoToken
        std::uint32_t priority;   ///< of that merge
        std::uint32_t begin;      ///< where its text begins; it ends where the next one begins
    };
    /// What two neighbours merge to. Lower priorities merge first, the leftmost among equals.
    struct Candidate {
        TokenId merged;  ///< kNoToken: they do not merge
        std::uint32_t priority;
    };
    static constexpr TokenId kNoToken = -1;

    void clear() noexcept { symbols_.clear(); }
    void append(TokenId id, std::uint32_t begin) {
        const auto index = static_cast<std::int32_t>(symbols_.size());
        if (index > 0) symbols_.back().next = index;
        symbols_.push_back({index - 1, -1, id, kNoToken, 0, begin});
    }

    /// `find(left, right)` returns the Candidate of two neighbouring symbols' indexes.
    template <class Find>
    void merge(const Find& find) {
        queue_.clear();
        for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols_.size()); ++i) {
            if (propose(i, find)) queue_.push_back(entry(i));
        }
        std::make_heap(queue_.begin(), queue_.end(), std::greater<>());
        while (!queue_.empty()) {
            const std::uint64_t best = queue_.front();
            std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
            queue_.pop_back();
            ++work_;
            const auto left = static_cast<std::int32_t>(best & 0xFFFFFFFFU);
            // An entry is out of date when its symbol, or its right neighbour, has merged since.
            if (at(left).merged == kNoToken || entry(left) != best) continue;
            apply(left);
            if (propose(left, find)) push(left);
            if (at(left).prev >= 0 && propose(at(left).prev, find)) push(at(left).prev);
        }
    }

    bool empty() const noexcept { return symbols_.empty(); }
    const Symbol& at(std::int32_t index) const noexcept {
        return symbols_[static_cast<std::size_t>(index)];
    }
    /// Candidates looked up and queue entries taken so far, over all texts.
    std::uint64_t work() const noexcept { return work_; }

  private:
    Symbol& node(std::int32_t index) noexcept { return symbols_[static_cast<std::size_t>(index)]; }

    std::uint64_t entry(std::int32_t left) const noexcept {
        return static_cast<std::uint64_t>(at(left).priority) << 32 |
               static_cast<std::uint32_t>(left);
    }
    void push(std::int32_t left) {
        queue_.push_back(entry(left));
        std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
    }

    /// Note what `left` and its right neighbour merge to; false when to nothing.
    template <class Find>
    bool propose(std::int32_t left, const Find& find) {
        Symbol& symbol = node(left);
        symbol.merged = kNoToken;
        if (symbol.next < 0) return false;
        ++work_;
        const Candidate candidate = find(left, symbol.next);
        symbol.merged = candidate.merged;
        symbol.priority = candidate.priority;
        return candidate.merged != kNoToken;
    }

    /// Merge `left` with its right neighbour.
    void apply(std::int32_t left) noexcept {
        Symbol& symbol = node(left);
        Symbol& right = node(symbol.next);
        symbol.id = symbol.merged;
        symbol.next = right.next;
        if (right.next >= 0) node(right.next).prev = left;
        right.merged = kNoToken;
    }

    std::vector<Symbol> symbols_;
    std::vector<std::uint64_t> queue_;  ///< a min-heap of priority << 32 | left symbol
    std::uint64_t work_ = 0;
};

}  // namespace shoal::model
