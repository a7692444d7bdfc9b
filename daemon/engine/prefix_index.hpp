// Whose beginnings the cache still holds: texts that run, and those that ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/runner.hpp"

namespace shoal {

/// Tokens of sequences whose K and V all devices hold. Those that ended are kept, which their owner
/// gives up when blocks are wanted, the least recently used first. Externally synchronised.
class PrefixIndex {
  public:
    /// Ended texts at most. They are compared one by one, which takes less than hashing would.
    static constexpr std::size_t kMostKept = 256;

    /// Ended texts have so many tokens at most: many of them may share blocks.
    explicit PrefixIndex(std::uint64_t most_tokens = UINT64_MAX) : most_tokens_(most_tokens) {}

    /// A sequence that runs has its first tokens computed.
    void add_running(const exec::Sequence& sequence);
    /// It is over: what is computed of it may stay. Gives the sequences that need not any more, as
    /// others begin with the same, or as they are too many; it may be among them.
    std::vector<exec::SequenceId> keep(const exec::Sequence& sequence);
    /// Forgets one that is over.
    void drop(exec::SequenceId id);

    struct Match {
        exec::SequenceId from = 0;
        std::uint32_t positions = 0;  ///< 0: none
    };
    /// The longest beginning that a sequence would compute to the same bits; at least its last
    /// token is left. Requires: a settled kind (exec::Root::settle_kind).
    Match find(const exec::Sequence& sequence) const;
    /// One that was found counts as used now.
    void use(exec::SequenceId id) noexcept { look_up(id)->used = ++uses_; }

    /// The one least recently used of those that are over, and its tokens.
    std::optional<Match> oldest() const noexcept;
    /// Its place takes a sequence that holds its first `positions` only.
    void shorten(exec::SequenceId id, exec::SequenceId to, std::uint32_t positions);

    struct Kept {
        exec::SequenceId id;
        std::span<const std::int32_t> tokens;  ///< until the index changes
        std::uint32_t shared_until;
    };
    /// Those that are over, the most recently used first.
    std::vector<Kept> kept_texts() const;

    bool knows(exec::SequenceId id) const noexcept;
    std::size_t kept() const noexcept;
    /// Another one when find() may give something else than before.
    std::uint64_t version() const noexcept { return version_; }

  private:
    struct Text {
        exec::SequenceId id;
        std::vector<std::int32_t> tokens;
        std::uint32_t shared_until;
        bool runs;
        std::uint64_t used;
    };

    Text* look_up(exec::SequenceId id) noexcept;
    const Text* least_recent() const noexcept;
    bool too_many() const noexcept;

    const std::uint64_t most_tokens_;
    std::vector<Text> texts_;
    std::uint64_t version_ = 0;
    std::uint64_t uses_ = 0;
};

/// How many tokens, of those that both begin with, have the same bits in both: rows that are shared
/// out round otherwise than others do.
std::uint32_t common_rows(std::span<const std::int32_t> a, std::uint32_t a_shared_until,
                          std::span<const std::int32_t> b, std::uint32_t b_shared_until) noexcept;

}  // namespace shoal
