#include "daemon/model/tokenizer/vocabulary.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "daemon/model/gguf_names.hpp"

namespace shoal::model {
namespace {

constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
constexpr std::string_view kEos = "tokenizer.ggml.eos_token_id";
constexpr std::string_view kEot = "tokenizer.ggml.eot_token_id";
constexpr std::string_view kEom = "tokenizer.ggml.eom_token_id";
constexpr std::string_view kUnknown = "tokenizer.ggml.unknown_token_id";
constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
constexpr std::string_view kAddEos = "tokenizer.ggml.add_eos_token";

/// Converters write -1 in 32 bits for "there is none".
constexpr std::uint64_t kNoId = std::numeric_limits<std::uint32_t>::max();

/// Tokens that end a turn, a message or a text, in the vocabularies of published models. Few
/// files name more than one of them in their metadata. After the last three another file begins.
constexpr std::array<std::string_view, 24> kEndTokens = {
    "</s>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<EOT>",
    "_<EOT>",
    "[EOS]",
    "[EOT]",
    "<|EOT|>",
    "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
};

const std::vector<std::string_view>& token_strings(const GgufHeader& header) {
    const MetaArray* array = header.find_array(kTokensKey);
    if (array == nullptr) {
        fail_key(header, kTokensKey,
                 "is missing: the file holds no vocabulary; use one converted with its tokenizer");
    }
    const auto* strings = std::get_if<std::vector<std::string_view>>(&array->items);
    if (strings == nullptr) fail_key(header, kTokensKey, "is not an array of strings");
    if (strings->empty()) fail_key(header, kTokensKey, "is empty");
    return *strings;
}

void check_length(const GgufHeader& header, std::string_view key, std::size_t items,
                  std::size_t tokens) {
    if (items == tokens) return;
    fail_key(header, key, fmt::format("has {} entries for {} tokens", items, tokens));
}

std::optional<TokenId> read_id(const GgufHeader& header, std::string_view key, std::size_t tokens,
                               std::optional<TokenId> fallback) {
    const MetaValue* value = header.find(key);
    if (value == nullptr) return fallback;
    if (const auto* number = std::get_if<std::int64_t>(value); number && *number == -1) return {};
    const std::uint64_t id = header.get_uint(key);
    if (id == kNoId) return {};
    if (id >= tokens) {
        fail_key(header, key, fmt::format("is {}, but the tokens end at {}", id, tokens - 1));
    }
    return static_cast<TokenId>(id);
}

/// Whether ordinary text can become this token.
bool is_text(TokenType type, TokenId id, const std::function<bool(TokenId)>& from_text) {
    return (type == TokenType::normal || type == TokenType::undefined) && from_text(id);
}

}  // namespace

void fail_key(const GgufHeader& header, std::string_view key, const std::string& what) {
    throw ModelError(fmt::format("{}: key \"{}\" {}", header.name(), key, what));
}

TokenArrays::TokenArrays(const GgufHeader& header)
    : tokens_(token_strings(header)),
      types_(tokens_.size(), TokenType::normal),
      index_(tokens_.size()) {
    const auto text_of = [this](TokenId id) { return token(id); };
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
        const std::string_view text = tokens_[i];
        if (text.size() > kMaxTokenBytes) {
            fail_key(header, kTokensKey,
                     fmt::format("holds a token of {} bytes at {}; {} are allowed", text.size(), i,
                                 kMaxTokenBytes));
        }
        // Padding entries may be empty: no text yields them, so they need not be distinct.
        if (text.empty() || index_.insert(text, static_cast<TokenId>(i), text_of)) continue;
        fail_key(header, kTokensKey,
                 fmt::format("holds {} twice, at {} and {}", quote(text),
                             index_.find(text, text_of), i));
    }
    read_types(header);
    read_scores(header);
}

void TokenArrays::read_types(const GgufHeader& header) {
    const MetaArray* array = header.find_array(kTypesKey);
    if (array == nullptr) return;
    has_types_ = true;
    const auto read = [&](const auto& items) {
        check_length(header, kTypesKey, items.size(), tokens_.size());
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (items[i] < 0 || items[i] > static_cast<int>(TokenType::byte)) {
                fail_key(header, kTypesKey,
                         fmt::format("holds {} at {}; types are 0 to 6", items[i], i));
            }
            types_[i] = static_cast<TokenType>(items[i]);
        }
    };
    if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(&array->items)) {
        read(*numbers);
    } else if (const auto* counts = std::get_if<std::vector<std::uint64_t>>(&array->items)) {
        // A value beyond int64 turns negative, which is refused as well.
        read(std::vector<std::int64_t>(counts->begin(), counts->end()));
    } else {
        fail_key(header, kTypesKey, "is not an array of integers");
    }
}

void TokenArrays::read_scores(const GgufHeader& header) {
    const MetaArray* array = header.find_array(kScoresKey);
    if (array == nullptr) return;
    const auto* items = std::get_if<std::vector<double>>(&array->items);
    if (items == nullptr) fail_key(header, kScoresKey, "is not an array of floats");
    check_length(header, kScoresKey, items->size(), tokens_.size());
    scores_.reserve(items->size());
    for (std::size_t i = 0; i < items->size(); ++i) {
        if (std::isnan((*items)[i])) {
            fail_key(header, kScoresKey, fmt::format("holds a NaN at {}", i));
        }
        scores_.push_back(static_cast<float>((*items)[i]));
    }
}

std::optional<TokenId> TokenArrays::find(std::string_view text) const noexcept {
    const TokenId id = index_.find(text, [this](TokenId other) { return token(other); });
    if (id == TextIndex::kNone) return std::nullopt;
    return id;
}

SpecialIds SpecialIds::read(const GgufHeader& header, std::size_t tokens,
                            const SpecialIds& defaults) {
    SpecialIds ids;
    const auto in_range = [tokens](std::optional<TokenId> id) {
        return id && static_cast<std::size_t>(*id) < tokens ? id : std::nullopt;
    };
    ids.bos = read_id(header, kBos, tokens, in_range(defaults.bos));
    ids.eos = read_id(header, kEos, tokens, in_range(defaults.eos));
    ids.unknown = read_id(header, kUnknown, tokens, in_range(defaults.unknown));
    // Only a file that asks for a token which it does not name contradicts itself.
    ids.add_bos = header.get_bool_or(kAddBos, defaults.add_bos && ids.bos);
    ids.add_eos = header.get_bool_or(kAddEos, defaults.add_eos && ids.eos);
    if (ids.add_bos && !ids.bos) {
        fail_key(header, kAddBos, fmt::format("is true, but \"{}\" names no token", kBos));
    }
    if (ids.add_eos && !ids.eos) {
        fail_key(header, kAddEos, fmt::format("is true, but \"{}\" names no token", kEos));
    }
    return ids;
}

void SpecialIds::find_ends(const GgufHeader& header, TokenArrays& arrays,
                           const std::function<bool(TokenId)>& from_text) {
    std::vector<TokenId> named;
    for (const auto id : {bos, eos, read_id(header, kEot, arrays.size(), {}),
                          read_id(header, kEom, arrays.size(), {})}) {
        if (id) named.push_back(*id);
    }
    ends.assign(named.begin() + (bos ? 1 : 0), named.end());

    std::vector<TokenId> known;
    for (const std::string_view text : kEndTokens) {
        const std::optional<TokenId> id = arrays.find(text);
        if (id && !is_text(arrays.type(*id), *id, from_text)) known.push_back(*id);
    }
    // In the "harmony" format <|end|> ends a message within a turn; <|return|> and <|call|>, or
    // <|flush|> and <|calls|>, end the turn.
    const auto has = [&](std::string_view text) {
        const std::optional<TokenId> id = arrays.find(text);
        return id && std::find(known.begin(), known.end(), *id) != known.end();
    };
    if ((has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"))) {
        if (const auto id = arrays.find("<|end|>")) std::erase(known, *id);
    }
    ends.insert(ends.end(), known.begin(), known.end());
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());

    for (const TokenId id : ends) named.push_back(id);
    for (const TokenId id : named) {
        if (!is_text(arrays.type(id), id, from_text)) arrays.set_type(id, TokenType::control);
    }
}

}  // namespace shoal::model
