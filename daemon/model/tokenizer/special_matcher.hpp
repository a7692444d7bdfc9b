// Finding special tokens in a text, all at once.
#pragma once

#include <array>
#include <cstdint>
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

    /// The leftmost longest matches, in order, none overlapping another.
    std::vector<Match> find_all(std::string_view text) const;

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
