// A model's tokens as bytes, laid out for looking up which of them a grammar allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace shoal::grammar {

using TokenId = std::uint32_t;

enum class TokenUse : std::uint8_t {
    text,   ///< allowed where its bytes are
    never,  ///< control tokens and unused ones
    end,    ///< ends an answer: allowed exactly where the text may end
};

/// One of 32 groups of bytes, as a bit: letters, digits and the like are one each, a quote and a
/// backslash are alone in theirs.
std::uint32_t byte_group(std::uint8_t byte) noexcept;

/// A prefix tree in one array, in the order of a walk: a node stands before its children, and knows
/// where its subtree ends. Immutable and thread-safe.
class TokenTree {
  public:
    struct Node {
        std::uint32_t end;          ///< of its subtree: the next node that is not below it
        std::uint32_t first_token;  ///< its tokens end where the next node's begin
        std::uint32_t below;        ///< the groups of all bytes below it
        std::uint16_t depth;        ///< bytes from the root, at least 1
        std::uint8_t byte;
    };

    /// Of tokens sorted by their bytes, none of which is empty.
    TokenTree(std::span<const TokenId> sorted, std::span<const std::string_view> texts);

    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(nodes_.size() - 1); }
    const Node& operator[](std::uint32_t node) const noexcept { return nodes_[node]; }
    /// Those of the nodes from `begin` up to but not including `end`.
    std::span<const TokenId> tokens(std::uint32_t begin, std::uint32_t end) const noexcept {
        return std::span(tokens_).subspan(nodes_[begin].first_token,
                                          nodes_[end].first_token - nodes_[begin].first_token);
    }

  private:
    std::vector<Node> nodes_;  ///< and one behind the last
    std::vector<TokenId> tokens_;
};

struct VocabularyError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Built once for a model. Immutable and thread-safe.
class Vocabulary {
  public:
    /// Tokens up to this length are looked up once for each state of a grammar. The few that are
    /// longer would tell apart states that behave alike for all the others.
    static constexpr std::size_t kUsualBytes = 32;

    /// Of the bytes and the use of each token; the texts are not kept. Text tokens that are empty
    /// or longer than kMaxTokenBytes are never allowed. Throws VocabularyError when the two differ
    /// in size or are larger than kMaxVocabulary.
    Vocabulary(std::span<const std::string_view> texts, std::span<const TokenUse> uses);

    std::size_t size() const noexcept { return size_; }
    const TokenTree& usual() const noexcept { return usual_; }
    const TokenTree& longer() const noexcept { return longer_; }
    std::span<const TokenId> ends() const noexcept { return ends_; }

  private:
    std::size_t size_;
    TokenTree usual_, longer_;
    std::vector<TokenId> ends_;
};

}  // namespace shoal::grammar
