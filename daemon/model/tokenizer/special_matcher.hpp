// Finding special tokens in a text, all at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/model/tokenizer.hpp"
#include "daemon/model/tokenizer/hash_tables.hpp"

namespace shoal::model {

/// An Aho-Corasick automaton over the reversed tokens, run over the text from its end: its state at
/// a position then names the longest token that begins there. Linear in the text, whatever the
/// tokens are. Immutable and thread-safe after construction.
class SpecialMatcher {
  public:
    struct Match {
        std::size_t begin;
        std::size_t size;
        TokenId id;
    };

    /// Texts are distinct and not empty; they are needed during construction only.
    explicit SpecialMatcher(const std::vector<std::pair<std::string_view, TokenId>>& tokens);

    /// The leftmost longest matches in a text, in order, none overlapping another. Keeps those of
    /// one block of the text at a time: the automaton goes over the text once to note its state at
    /// each block's end, and from there over each block again when its turn comes. Owned by one
    /// thread; matcher and text outlive it.
    class Scan {
      public:
        Scan(const SpecialMatcher& matcher, std::string_view text);
        std::optional<Match> next();

      private:
        std::uint32_t run(std::size_t block, std::uint32_t state, std::vector<Match>* found) const;

        const SpecialMatcher& matcher_;
        std::string_view text_;
        std::vector<std::uint32_t> states_;  ///< at the ends of the blocks to come, the next last
        std::size_t block_ = 0;              ///< the next one
        std::vector<Match> found_;           ///< in the current block, the next last
        std::size_t end_ = 0;                ///< of the match before
    };

  private:
    struct Node {
        std::uint32_t fail = 0;  ///< the node of its longest proper suffix that has one
        TokenId id = -1;         ///< the longest token that ends here
        std::uint32_t size = 0;  ///< bytes of that token
    };
    struct Birth {
        std::uint32_t parent, depth, node;
        unsigned char byte;
    };

    std::uint32_t child(std::uint32_t state, unsigned char byte) const noexcept;
    /// Append a path for one token; returns its last node.
    std::uint32_t insert(std::string_view text, std::vector<Birth>& births);
    std::uint32_t step(std::uint32_t state, unsigned char byte) const noexcept;

    std::array<std::uint32_t, 256> root_{};  ///< the root's edges, by far the most used
    PairTable<std::uint32_t> edges_;         ///< (node, byte) -> node, of all but the root
    std::vector<Node> nodes_;
};

}  // namespace shoal::model
