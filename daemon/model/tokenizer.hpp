// Text <-> token ids, from a model file's own metadata (tokenizer.ggml.*).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

using TokenId = std::int32_t;

/// Immutable and thread-safe after construction.
class Tokenizer {
  public:
    struct EncodeOptions {
        bool add_special = true;    ///< prepend BOS / append EOS as the model says
        bool parse_special = true;  ///< "<|eot_id|>" in the text becomes its token
    };

    /// Throws ModelError when the metadata is missing, inconsistent or of an unknown kind.
    /// Copies what it needs: the header may go.
    static std::unique_ptr<Tokenizer> from_header(const GgufHeader& header);
    virtual ~Tokenizer() = default;

    /// Any bytes are valid input; invalid UTF-8 goes through byte tokens. Near-linear time.
    virtual std::vector<TokenId> encode(std::string_view text,
                                        const EncodeOptions& options) const = 0;
    /// The bytes of one token; empty for control tokens and ids out of range.
    virtual std::string_view piece(TokenId id) const noexcept = 0;

    virtual std::size_t size() const noexcept = 0;
    virtual std::optional<TokenId> bos() const noexcept = 0;
    /// True for every id that ends a generation (EOS, EOT, <|im_end|>, ...).
    virtual bool is_end(TokenId id) const noexcept = 0;
    /// True when the SentencePiece rule applies that a text's leading space is dropped.
    virtual bool strips_leading_space() const noexcept = 0;
};

/// The text of a sequence of tokens, piece by piece, never splitting a UTF-8 character.
/// Invalid UTF-8 becomes U+FFFD. Owned by one thread.
class Detokenizer {
  public:
    /// The tokenizer must outlive it. `at_start`: the first token begins the text (a leading
    /// space of SentencePiece models is dropped).
    Detokenizer(const Tokenizer& tokenizer, bool at_start);
    /// Text that became complete with this token; may be empty.
    std::string push(TokenId id);
    /// What is left of an unfinished character, as U+FFFD; resets.
    std::string flush();

  private:
    const Tokenizer& tokenizer_;
    bool at_start_;
    std::string pending_;
};

}  // namespace shoal::model
