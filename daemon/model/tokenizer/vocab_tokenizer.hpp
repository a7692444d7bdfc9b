// What both kinds of tokenizers share: pieces, special tokens, beginning and end.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/tokenizer.hpp"
#include "daemon/model/tokenizer/merger.hpp"
#include "daemon/model/tokenizer/special_matcher.hpp"
#include "daemon/model/tokenizer/vocabulary.hpp"

namespace shoal::model {

/// Strings in one block of memory. Externally synchronised while it is filled.
class StringBlock {
  public:
    /// Throws std::length_error beyond 4 GiB in total.
    void append(std::string_view text);
    std::string_view at(std::size_t index) const noexcept {
        return std::string_view(bytes_).substr(begins_[index], begins_[index + 1] - begins_[index]);
    }
    std::size_t size() const noexcept { return begins_.size() - 1; }

  private:
    std::string bytes_;
    std::vector<std::uint32_t> begins_ = {0};
};

/// Merging takes up to so many bytes at a time, which bounds its memory and how long it takes to
/// be given up. A word that is longer is cut, so its tokens may differ from what merging all of it
/// gives. (Meta's tokenizer of Llama 3 cuts after 25,000 characters, for the same reason.)
inline constexpr std::size_t kMaxPartBytes = std::size_t{1} << 16;

/// One text on its way to tokens. Owned by one thread.
struct Encoding {
    const Tokenizer::EncodeOptions& options;
    std::vector<TokenId> ids = {};
    Merger merger = {};

    /// More tokens than were asked for are there, or nobody wants them any more.
    bool over() const noexcept {
        return ids.size() > options.max_tokens ||
               (options.stop != nullptr && options.stop->stop_requested());
    }
};

/// Splits a text at its special tokens and leaves what lies between them to the kind.
class VocabTokenizer : public Tokenizer {
  public:
    std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const final;
    std::string_view piece(TokenId id) const noexcept final;
    std::string_view text(TokenId id) const noexcept final;
    std::size_t size() const noexcept final { return types_.size(); }
    std::optional<TokenId> bos() const noexcept final { return ids_.bos; }
    std::optional<TokenId> eos() const noexcept final { return ids_.eos; }
    bool adds_bos() const noexcept final { return ids_.add_bos; }
    bool is_end(TokenId id) const noexcept final;
    std::string_view warning() const noexcept final { return warning_; }

  protected:
    /// `texts` holds the bytes of every token, for special ones their spelling. Throws
    /// ModelError when the special tokens are beyond kMaxSpecialBytes.
    VocabTokenizer(const GgufHeader& header, const TokenArrays& arrays, SpecialIds ids,
                   StringBlock texts, std::string warning);

    /// Append the tokens of a text between special tokens, until it is over().
    virtual void encode_text(std::string_view text, Encoding& out) const = 0;

    TokenType type(TokenId id) const noexcept { return types_[static_cast<std::size_t>(id)]; }
    std::optional<TokenId> unknown() const noexcept { return ids_.unknown; }

  private:
    bool in_range(TokenId id) const noexcept {
        return id >= 0 && static_cast<std::size_t>(id) < types_.size();
    }

    std::vector<TokenType> types_;
    SpecialIds ids_;
    StringBlock texts_;
    std::string warning_;
    SpecialMatcher all_special_;         ///< for EncodeOptions::parse_special
    SpecialMatcher user_defined_;        ///< recognised in any text
    std::vector<TokenId> strips_right_;  ///< ascending: drop white space that follows them
};

std::unique_ptr<Tokenizer> make_bpe_tokenizer(const GgufHeader& header,
                                              Tokenizer::UnknownPre unknown);
std::unique_ptr<Tokenizer> make_spm_tokenizer(const GgufHeader& header);

}  // namespace shoal::model
