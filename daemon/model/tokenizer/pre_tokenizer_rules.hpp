// The pre-tokenizers of published models, as data.
#pragma once

#include <span>
#include <string_view>

namespace shoal::model {

/// How one family of models cuts a text before merging.
struct PreTokenizerRule {
    /// Regular expressions, each applied to every piece that the one before it left: what matches
    /// and what lies between matches are pieces again. \s and \S mean Unicode's White_Space.
    std::span<const std::string_view> stages;
    /// A piece that is a token as a whole becomes that token without merging.
    bool ignore_merges = false;
    /// Whether BOS is added when the file does not say.
    bool add_bos = false;
};

/// The rule for tokenizer.ggml.pre; null when the name is unknown.
const PreTokenizerRule* find_pre_tokenizer_rule(std::string_view name) noexcept;

/// The rule named "default", for files that name none.
const PreTokenizerRule& default_pre_tokenizer_rule() noexcept;

/// All names that are known, in the order of the table.
std::span<const std::string_view> pre_tokenizer_names() noexcept;

}  // namespace shoal::model
