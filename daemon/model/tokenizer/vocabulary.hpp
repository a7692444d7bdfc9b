// What both kinds of tokenizers read from a file: tokens, types, scores and special ids.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/tokenizer.hpp"
#include "daemon/model/tokenizer/hash_tables.hpp"

namespace shoal::model {

/// The values of tokenizer.ggml.token_type.
/// Source: the GGUF specification (ggml repository, docs/gguf.md), "GGML" tokenizer section.
enum class TokenType : std::uint8_t {
    undefined = 0,
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6,
};

/// Keys of the arrays, which the files that check them name in their errors.
inline constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
inline constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";
inline constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";

/// No published token is longer than a few hundred bytes.
inline constexpr std::size_t kMaxTokenBytes = 16384;
/// All control and user-defined tokens together; the largest vocabularies have about 200 kB.
inline constexpr std::size_t kMaxSpecialBytes = std::size_t{2} << 20;

/// ModelError("<file>: key "<key>": <what>").
[[noreturn]] void fail_key(const GgufHeader& header, std::string_view key, const std::string& what);

/// The arrays of a vocabulary, checked, and an index of the tokens. Views into the header.
class TokenArrays {
  public:
    /// Throws ModelError when an array is missing, of a wrong type or length, when a token is
    /// there twice or too long, or when a type or score means nothing.
    explicit TokenArrays(const GgufHeader& header);

    std::size_t size() const noexcept { return tokens_.size(); }
    std::string_view token(TokenId id) const noexcept {
        return tokens_[static_cast<std::size_t>(id)];
    }
    TokenType type(TokenId id) const noexcept { return types_[static_cast<std::size_t>(id)]; }
    void set_type(TokenId id, TokenType type) noexcept {
        types_[static_cast<std::size_t>(id)] = type;
    }
    /// False when the file says nothing about types: all are `normal` then.
    bool has_types() const noexcept { return has_types_; }
    /// Empty when the file has none.
    const std::vector<float>& scores() const noexcept { return scores_; }
    std::optional<TokenId> find(std::string_view token) const noexcept;

  private:
    void read_types(const GgufHeader& header);
    void read_scores(const GgufHeader& header);

    const std::vector<std::string_view>& tokens_;
    std::vector<TokenType> types_;
    bool has_types_ = false;
    std::vector<float> scores_;
    TextIndex index_;
};

/// The ids with a role.
struct SpecialIds {
    std::optional<TokenId> bos, eos, unknown;
    bool add_bos = false, add_eos = false;
    std::vector<TokenId> ends;  ///< ascending: every id that ends a generation

    /// Read them; what the file does not say stays as in `defaults`. Throws ModelError when an
    /// id is out of range, or when BOS or EOS is to be added and there is none.
    static SpecialIds read(const GgufHeader& header, std::size_t tokens,
                           const SpecialIds& defaults);

    /// Collect `ends`: the ids that the metadata names, and the tokens whose text is known to
    /// end a turn or a text. Text that looks so but can be the outcome of ordinary text
    /// (`from_text`) is not meant: "</s>" is markup in some vocabularies. All others, and BOS,
    /// become control tokens, whatever type the converter gave them: a generation never shows
    /// them, and a user's text never becomes them.
    void find_ends(const GgufHeader& header, TokenArrays& arrays,
                   const std::function<bool(TokenId)>& from_text);
};

}  // namespace shoal::model
