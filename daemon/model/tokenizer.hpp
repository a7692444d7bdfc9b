// Text <-> token ids, from a model file's own metadata (tokenizer.ggml.*).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

using TokenId = std::int32_t;

/// Immutable and thread-safe after construction. Encoding takes time in proportion to the text,
/// whatever its bytes are, and some megabytes beside the text and its tokens.
class Tokenizer {
  public:
    /// A stretch of a text, by who wrote it.
    struct Span {
        std::size_t bytes = 0;
        bool literal = false;  ///< a person, who means what is written
    };
    struct EncodeOptions {
        /// Prepend BOS and append EOS as the model says, but not to a text that begins or ends
        /// with that token by itself.
        bool add_special = true;
        bool parse_special = true;  ///< "<|eot_id|>" in the text becomes its token
        /// Of a text that a template made: what its spans are, in order, together as long as the
        /// text. Control tokens are never recognised in literal ones, nor is a user-defined token
        /// that occurs in `markup`, the template. Empty: nothing is literal.
        std::span<const Span> spans = {};
        std::string_view markup = {};
        /// The text is to be gone on from: add_special appends no EOS.
        bool open_end = false;
        /// A text of more tokens is given up soon after: the result has more, and lacks the rest.
        std::size_t max_tokens = std::numeric_limits<std::size_t>::max();
        /// Encoding is given up soon after a stop is requested; the result is of no use then.
        const std::stop_token* stop = nullptr;
    };

    /// Of a file whose tokenizer.ggml.pre names a way of cutting text that is not known here.
    enum class UnknownPre {
        refuse,
        guess,  ///< the rule "default", with a warning(): answers may be worse than the model's
    };

    /// Throws ModelError when the metadata is missing, inconsistent or of an unknown kind.
    /// Copies what it needs: the header may go.
    static std::unique_ptr<Tokenizer> from_header(const GgufHeader& header,
                                                  UnknownPre unknown = UnknownPre::refuse);
    virtual ~Tokenizer() = default;

    /// Any bytes are valid input; invalid UTF-8 goes through byte tokens. User-defined tokens are
    /// recognised in any text, control tokens with `parse_special` only. Words and runs of white
    /// space of more than 64 KiB are cut. Throws std::length_error beyond 512 MiB.
    virtual std::vector<TokenId> encode(std::string_view text,
                                        const EncodeOptions& options) const = 0;
    /// The bytes of one token; empty for control tokens and ids out of range.
    virtual std::string_view piece(TokenId id) const noexcept = 0;

    /// The token as a reader would see it: its bytes, for a control token its name ("<|eot_id|>").
    virtual std::string_view text(TokenId id) const noexcept { return piece(id); }

    virtual std::size_t size() const noexcept = 0;
    virtual std::optional<TokenId> bos() const noexcept = 0;
    virtual std::optional<TokenId> eos() const noexcept { return std::nullopt; }
    /// True when `add_special` prepends BOS.
    virtual bool adds_bos() const noexcept { return false; }
    /// True for every id that ends a generation (EOS, EOT, <|im_end|>, ...).
    virtual bool is_end(TokenId id) const noexcept = 0;
    /// True when the SentencePiece rule applies that a text's leading space is dropped.
    virtual bool strips_leading_space() const noexcept = 0;
    /// What a user should know, as a sentence: how texts are cut is guessed. Empty when all is
    /// well.
    virtual std::string_view warning() const noexcept { return {}; }
};

/// The text of a sequence of tokens, piece by piece, never splitting a UTF-8 character.
/// Invalid UTF-8 becomes U+FFFD. Owned by one thread.
class Detokenizer {
  public:
    /// The tokenizer must outlive it. `at_start`: the first token that is text begins the text (a
    /// leading space of SentencePiece models is dropped).
    Detokenizer(const Tokenizer& tokenizer, bool at_start);
    /// Text that became complete with this token; may be empty.
    std::string push(TokenId id);
    /// What is left of an unfinished character, as U+FFFD; it is then forgotten.
    std::string flush();

  private:
    const Tokenizer& tokenizer_;
    bool at_start_;
    std::string pending_;
};

}  // namespace shoal::model
