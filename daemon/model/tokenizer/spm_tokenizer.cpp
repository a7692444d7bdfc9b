// SentencePiece-style BPE with scores: tokenizer.ggml.model = "llama".
#include <fmt/core.h>

#include <array>
#include <bit>
#include <bitset>
#include <utility>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/tokenizer/utf8.hpp"
#include "daemon/model/tokenizer/vocab_tokenizer.hpp"

namespace shoal::model {
namespace {

constexpr std::string_view kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";

/// U+2581, which stands for a space in these vocabularies.
constexpr std::string_view kSpaceMark = "▁";

bool is_plain(TokenType type) noexcept {
    return type == TokenType::normal || type == TokenType::undefined;
}

/// Text in the vocabulary's own terms, with spaces for their marks. A mark in a user's text is the
/// same as a space, as it is in SentencePiece.
std::string marks_to_spaces(std::string_view text, std::string_view before = "") {
    std::string out;
    out.reserve(before.size() + text.size());
    out += before;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t mark = std::min(text.find(kSpaceMark, i), text.size());
        out += text.substr(i, mark - i);
        if (mark == text.size()) break;
        out += ' ';
        i = mark + kSpaceMark.size();
    }
    return out;
}

/// The token of each byte, "<0x00>" to "<0xFF>".
using ByteTokens = std::array<TokenId, 256>;

/// Finds them, whatever their type, and types them. Throws ModelError when a token is typed as a
/// byte and is none, or when a byte has no token and unknown text has none either.
ByteTokens find_byte_tokens(const GgufHeader& header, TokenArrays& arrays, const SpecialIds& ids) {
    ByteTokens tokens;
    std::vector<bool> is_byte(arrays.size());
    for (unsigned byte = 0; byte < tokens.size(); ++byte) {
        const std::string text = fmt::format("<0x{:02X}>", byte);
        const auto id = arrays.find(text);
        tokens[byte] = id.value_or(Merger::kNoToken);
        if (id) {
            is_byte[static_cast<std::size_t>(*id)] = true;
            if (is_plain(arrays.type(*id))) arrays.set_type(*id, TokenType::byte);
        } else if (!ids.unknown) {
            fail_key(header, kTokensKey,
                     fmt::format("lacks the byte token {}, and \"tokenizer.ggml."
                                 "unknown_token_id\" names none for unknown text",
                                 text));
        }
    }
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        if (arrays.type(id) != TokenType::byte || is_byte[static_cast<std::size_t>(id)]) continue;
        fail_key(header, kTokensKey,
                 fmt::format("holds {} at {}, typed as a byte; bytes are <0x00> "
                             "to <0xFF>",
                             quote(arrays.token(id)), id));
    }
    return tokens;
}

/// What each token spells.
StringBlock spell(const TokenArrays& arrays, const ByteTokens& bytes) {
    std::vector<int> byte_of(arrays.size(), -1);
    for (unsigned byte = 0; byte < bytes.size(); ++byte) {
        if (bytes[byte] == Merger::kNoToken) continue;
        byte_of[static_cast<std::size_t>(bytes[byte])] = static_cast<int>(byte);
    }
    StringBlock texts;
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        const TokenType type = arrays.type(id);
        if (type == TokenType::byte) {
            const char byte = static_cast<char>(byte_of[static_cast<std::size_t>(id)]);
            texts.append({&byte, 1});
        } else if (type == TokenType::control || type == TokenType::unknown) {
            texts.append(arrays.token(id));
        } else {
            texts.append(marks_to_spaces(arrays.token(id)));
        }
    }
    return texts;
}

/// Better scores become lower numbers, equal ones stay equal.
std::uint32_t priority_of(float score) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 becomes +0
    const bool negative = (bits & 0x80000000U) != 0;
    return ~(negative ? ~bits : bits | 0x80000000U);
}

class SpmTokenizer final : public VocabTokenizer {
  public:
    SpmTokenizer(const GgufHeader& header, const TokenArrays& arrays, SpecialIds ids,
                 const ByteTokens& bytes)
        : VocabTokenizer(header, arrays, std::move(ids), spell(arrays, bytes), ""),
          bytes_(bytes),
          space_prefix_(header.get_bool_or(kAddSpacePrefix, true)),
          index_(arrays.size()) {
        const auto text_of = [this](TokenId id) { return text(id); };
        priorities_.reserve(arrays.size());
        for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
            priorities_.push_back(priority_of(arrays.scores()[static_cast<std::size_t>(id)]));
            const TokenType type = arrays.type(id);
            if (type == TokenType::control || type == TokenType::unknown ||
                type == TokenType::byte || arrays.token(id).empty()) {
                continue;
            }
            // In text every space is a mark, so a token with a real space never occurs.
            if (arrays.token(id).find(' ') != std::string_view::npos) continue;
            index_.insert(text(id), id, text_of);
            for (std::size_t i = 1; i < text(id).size(); ++i) {
                joined_.set(pair_of(text(id)[i - 1], text(id)[i]));
            }
        }
    }

    bool strips_leading_space() const noexcept override { return space_prefix_; }

  private:
    void encode_text(std::string_view raw, Encoding& out) const override {
        const std::string text = marks_to_spaces(raw, space_prefix_ ? " " : "");
        std::string_view rest = text;
        while (!rest.empty() && !out.over()) {
            const std::size_t size = part_size(rest);
            encode_part(rest.substr(0, size), out);
            rest.remove_prefix(size);
        }
    }

    /// Up to the first place that no merge can reach across.
    std::size_t part_size(std::string_view text) const noexcept {
        const std::size_t limit = utf8_prefix(text, kMaxPartBytes).size();
        std::size_t size = 1;
        while (size < limit &&
               (!begins_character(text[size]) || joined_[pair_of(text[size - 1], text[size])])) {
            ++size;
        }
        return size;
    }

    void encode_part(std::string_view part, Encoding& out) const {
        Merger& merger = out.merger;
        const auto end_of = [&](const Merger::Symbol& symbol) {
            return symbol.next < 0 ? part.size() : merger.at(symbol.next).begin;
        };
        const auto find = [&](std::string_view text) {
            return index_.find(text, [this](TokenId id) { return this->text(id); });
        };
        merger.clear();
        for (std::size_t at = 0; at < part.size();) {
            const std::size_t size = utf8_step(part.substr(at)).size;
            merger.append(find(part.substr(at, size)), static_cast<std::uint32_t>(at));
            at += size;
        }
        merger.merge([&](std::int32_t left, std::int32_t right) -> Merger::Candidate {
            const std::uint32_t begin = merger.at(left).begin;
            const TokenId id = find(part.substr(begin, end_of(merger.at(right)) - begin));
            if (id == TextIndex::kNone) return {Merger::kNoToken, 0};
            return {id, priorities_[static_cast<std::size_t>(id)]};
        });
        for (std::int32_t i = 0; i >= 0; i = merger.at(i).next) {
            const Merger::Symbol& symbol = merger.at(i);
            if (symbol.id != Merger::kNoToken) {
                out.ids.push_back(symbol.id);
            } else {
                spell_out(part.substr(symbol.begin, end_of(symbol) - symbol.begin), out.ids);
            }
        }
    }

    /// A character without a token becomes its bytes' tokens, else the unknown token.
    void spell_out(std::string_view character, std::vector<TokenId>& out) const {
        if (character == " ") character = kSpaceMark;
        const std::size_t before = out.size();
        for (const char c : character) {
            const TokenId id = bytes_[static_cast<unsigned char>(c)];
            if (id == Merger::kNoToken) {
                out.resize(before);
                out.push_back(*unknown());  // find_byte_tokens saw that there is one.
                return;
            }
            out.push_back(id);
        }
    }

    static std::size_t pair_of(char first, char second) noexcept {
        return std::size_t{static_cast<unsigned char>(first)} << 8 |
               static_cast<unsigned char>(second);
    }

    static_assert(TextIndex::kNone == Merger::kNoToken);

    ByteTokens bytes_;
    bool space_prefix_;
    TextIndex index_;  ///< of the texts that merging can yield
    std::vector<std::uint32_t> priorities_;
    /// The pairs of bytes that some token holds. No merge reaches across others, from one word
    /// into the next in most vocabularies, so what lies between can be merged part by part, in the
    /// processor's cache.
    std::bitset<std::size_t{1} << 16> joined_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_spm_tokenizer(const GgufHeader& header) {
    TokenArrays arrays(header);
    if (arrays.scores().empty()) {
        fail_key(header, kScoresKey, "is missing, but \"llama\" tokenizers merge by score");
    }
    SpecialIds defaults;
    defaults.unknown = 0;
    defaults.bos = 1;
    defaults.eos = 2;
    defaults.add_bos = true;
    SpecialIds ids = SpecialIds::read(header, arrays.size(), defaults);
    if (!arrays.has_types() && ids.unknown) arrays.set_type(*ids.unknown, TokenType::unknown);
    const bool typed = arrays.has_types();
    ids.find_ends(header, arrays, [typed](TokenId) { return typed; });
    const ByteTokens bytes = find_byte_tokens(header, arrays, ids);
    return std::make_unique<SpmTokenizer>(header, arrays, std::move(ids), bytes);
}

}  // namespace shoal::model
