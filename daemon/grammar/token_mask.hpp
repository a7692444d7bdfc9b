// Which tokens of a vocabulary are allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::grammar {

/// One bit for each token. Externally synchronised.
class TokenMask {
  public:
    explicit TokenMask(std::size_t tokens = 0) : words_((tokens + 63) / 64), tokens_(tokens) {}

    std::size_t size() const noexcept { return tokens_; }
    std::size_t count() const noexcept;

    /// Requires for all of these: token < size().
    bool operator[](std::size_t token) const noexcept {
        return (words_[token / 64] >> (token % 64) & 1) != 0;
    }
    void allow(std::size_t token) noexcept { words_[token / 64] |= std::uint64_t{1} << token % 64; }

    /// The mask of the tokens from `begin` up to but not including `end`, which become 0 onwards:
    /// for a device that holds these rows of the output. Requires: begin <= end <= size().
    TokenMask slice(std::size_t begin, std::size_t end) const;

    /// 64 tokens a word, the first in the lowest bit; bits behind the last token are zero.
    std::span<const std::uint64_t> words() const noexcept { return words_; }
    /// For whoever keeps the last word's rule.
    std::span<std::uint64_t> words() noexcept { return words_; }

    /// The shortest of the forms in GRAMMAR.md; the same for equal masks, always.
    std::string encode() const;
    /// Nothing when the bytes are no form of a mask over `tokens` tokens. `tokens` is what the
    /// receiver expects, so that nobody else decides what is allocated.
    static std::optional<TokenMask> decode(std::string_view bytes, std::size_t tokens);

    friend bool operator==(const TokenMask&, const TokenMask&) = default;

  private:
    std::vector<std::uint64_t> words_;
    std::size_t tokens_;
};

}  // namespace shoal::grammar
