#include "daemon/model/tokenizer/vocab_tokenizer.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <stdexcept>
#include <utility>

#include "daemon/model/tokenizer/special_finder.hpp"

namespace shoal::model {
namespace {

/// Positions fit 32 bits even after SentencePiece has made 3 bytes of every space.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 29;

bool is_special(TokenType type) noexcept {
    return type == TokenType::control || type == TokenType::user_defined ||
           type == TokenType::unknown;
}

std::vector<std::pair<std::string_view, TokenId>> tokens_to_match(const GgufHeader& header,
                                                                  const TokenArrays& arrays,
                                                                  bool user_defined_only) {
    std::vector<std::pair<std::string_view, TokenId>> tokens;
    std::size_t bytes = 0;
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        const TokenType type = arrays.type(id);
        if (arrays.token(id).empty() || !is_special(type)) continue;
        if (user_defined_only && type != TokenType::user_defined) continue;
        bytes += arrays.token(id).size();
        tokens.emplace_back(arrays.token(id), id);
    }
    if (bytes > kMaxSpecialBytes) {
        fail_key(header, kTypesKey,
                 fmt::format("makes {} bytes of tokens special; {} are allowed", bytes,
                             kMaxSpecialBytes));
    }
    return tokens;
}

/// Phi-3's tokenizer swallows white space after its special tokens, all but three of them, and a
/// GGUF file has no field to say so.
std::vector<TokenId> right_stripping_tokens(const GgufHeader& header, const TokenArrays& arrays) {
    std::string name(header.get_string_or("general.name", ""));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::vector<TokenId> ids;
    if (name.find("phi-3") == std::string::npos && name.find("phi3") == std::string::npos) {
        return ids;
    }
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        const std::string_view text = arrays.token(id);
        if (!is_special(arrays.type(id))) continue;
        if (text != "<unk>" && text != "<s>" && text != "<|endoftext|>") ids.push_back(id);
    }
    return ids;
}

}  // namespace

void StringBlock::append(std::string_view text) {
    if (text.size() > std::numeric_limits<std::uint32_t>::max() - bytes_.size()) {
        throw std::length_error("a vocabulary of more than 4 GiB");
    }
    bytes_ += text;
    begins_.push_back(static_cast<std::uint32_t>(bytes_.size()));
}

VocabTokenizer::VocabTokenizer(const GgufHeader& header, const TokenArrays& arrays, SpecialIds ids,
                               StringBlock texts, std::string warning)
    : ids_(std::move(ids)),
      texts_(std::move(texts)),
      warning_(std::move(warning)),
      all_special_(tokens_to_match(header, arrays, false)),
      user_defined_(tokens_to_match(header, arrays, true)),
      strips_right_(right_stripping_tokens(header, arrays)) {
    types_.reserve(arrays.size());
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        types_.push_back(arrays.type(id));
    }
}

std::string_view VocabTokenizer::text(TokenId id) const noexcept {
    return in_range(id) ? texts_.at(static_cast<std::size_t>(id)) : std::string_view();
}

std::string_view VocabTokenizer::piece(TokenId id) const noexcept {
    if (!in_range(id) || type(id) == TokenType::control || type(id) == TokenType::unknown) {
        return {};
    }
    return text(id);
}

bool VocabTokenizer::is_end(TokenId id) const noexcept {
    return std::binary_search(ids_.ends.begin(), ids_.ends.end(), id);
}

std::vector<TokenId> VocabTokenizer::encode(std::string_view text,
                                            const EncodeOptions& options) const {
    if (text.size() > kMaxTextBytes) {
        throw std::length_error(fmt::format("a text of {} bytes to tokenise; {} are possible",
                                            text.size(), kMaxTextBytes));
    }
    const bool bos = options.add_special && ids_.add_bos;
    const bool eos = options.add_special && ids_.add_eos && !options.open_end;
    Encoding out{options};
    if (bos) out.ids.push_back(*ids_.bos);

    SpecialFinder specials({all_special_, user_defined_}, text, options);
    std::size_t at = 0;
    while (const auto match = specials.next()) {
        if (match->begin < at) continue;  // White space that the token before it swallowed.
        if (at < match->begin) encode_text(text.substr(at, match->begin - at), out);
        if (out.over()) return std::move(out.ids);
        const bool again = bos && match->begin == 0 && match->id == *ids_.bos;
        if (!again) out.ids.push_back(match->id);
        at = match->begin + match->size;
        if (std::binary_search(strips_right_.begin(), strips_right_.end(), match->id)) {
            while (at < text.size() &&
                   std::string_view(" \t\n\v\f\r").find(text[at]) != std::string_view::npos) {
                ++at;
            }
        }
    }
    if (at < text.size()) encode_text(text.substr(at), out);

    if (eos && (out.ids.empty() || out.ids.back() != *ids_.eos)) out.ids.push_back(*ids_.eos);
    return std::move(out.ids);
}

}  // namespace shoal::model
