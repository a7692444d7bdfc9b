// Two compact hash tables for vocabularies: flat arrays, filled once, then only read. A vocabulary
// has up to some 260,000 tokens and as many merges; node-based maps would take several times
// the memory, which small devices do not have.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace shoal::model {

/// Finds the number of a string. It keeps numbers and hashes only: `text_of(number)` yields the
/// string again. Externally synchronised while it is filled, thread-safe afterwards.
class TextIndex {
  public:
    static constexpr std::int32_t kNone = -1;

    explicit TextIndex(std::size_t capacity) : slots_(std::bit_ceil(capacity * 2 + 1)) {}

    /// False when an equal string is there already, which then stays.
    template <class TextOf>
    bool insert(std::string_view text, std::int32_t number, const TextOf& text_of) {
        Slot& slot = slots_[probe(text, hash(text), text_of)];
        if (slot.number != kNone) return false;
        slot = {hash(text), number};
        return true;
    }

    /// kNone when there is no such string.
    template <class TextOf>
    std::int32_t find(std::string_view text, const TextOf& text_of) const noexcept {
        return slots_[probe(text, hash(text), text_of)].number;
    }

  private:
    struct Slot {
        std::uint32_t hash = 0;
        std::int32_t number = kNone;
    };

    static std::uint32_t hash(std::string_view text) noexcept {
        const std::size_t wide = std::hash<std::string_view>()(text);
        return static_cast<std::uint32_t>(wide ^ (static_cast<std::uint64_t>(wide) >> 32));
    }

    template <class TextOf>
    std::size_t probe(std::string_view text, std::uint32_t hashed,
                      const TextOf& text_of) const noexcept {
        const std::size_t mask = slots_.size() - 1;
        std::size_t at = hashed & mask;
        while (slots_[at].number != kNone &&
               (slots_[at].hash != hashed || text_of(slots_[at].number) != text)) {
            at = (at + 1) & mask;
        }
        return at;
    }

    std::vector<Slot> slots_;  ///< a power of two, at most half full
};

/// From a pair of numbers to a small value. Externally synchronised while it is filled,
/// thread-safe afterwards.
template <class Value>
class PairTable {
  public:
    explicit PairTable(std::size_t capacity) : slots_(std::bit_ceil(capacity * 2 + 1)) {}

    /// False when the pair is there already, whose value then stays. Requires: at most
    /// `capacity` pairs, none of them (0xFFFFFFFF, 0xFFFFFFFF).
    bool insert(std::uint32_t first, std::uint32_t second, Value value) {
        Slot& slot = slots_[probe(key_of(first, second))];
        if (slot.key != kEmpty) return false;
        slot = {key_of(first, second), value};
        return true;
    }

    /// Null when the pair is not there.
    const Value* find(std::uint32_t first, std::uint32_t second) const noexcept {
        const Slot& slot = slots_[probe(key_of(first, second))];
        return slot.key == kEmpty ? nullptr : &slot.value;
    }

  private:
    static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

    struct Slot {
        std::uint64_t key = kEmpty;
        Value value{};
    };

    static std::uint64_t key_of(std::uint32_t first, std::uint32_t second) noexcept {
        return static_cast<std::uint64_t>(first) << 32 | second;
    }

    std::size_t probe(std::uint64_t key) const noexcept {
        // Fibonacci hashing: the product's high half depends on every bit of the key.
        const std::size_t mask = slots_.size() - 1;
        std::size_t at =
            static_cast<std::size_t>(((key ^ (key >> 29)) * 0x9E3779B97F4A7C15U) >> 32) & mask;
        while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask;
        return at;
    }

    std::vector<Slot> slots_;  ///< a power of two, at most half full
};

}  // namespace shoal::model
