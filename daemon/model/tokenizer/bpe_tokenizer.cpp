// Byte-level BPE: tokenizer.ggml.model = "gpt2".
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/tokenizer/byte_alphabet.hpp"
#include "daemon/model/tokenizer/pre_tokenizer.hpp"
#include "daemon/model/tokenizer/utf8.hpp"
#include "daemon/model/tokenizer/vocab_tokenizer.hpp"

namespace shoal::model {
namespace {

constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kPre = "tokenizer.ggml.pre";

/// (left id, right id) -> the rank and the outcome of their merge.
class MergeTable {
  public:
    struct Merge {
        std::uint32_t rank;
        TokenId merged;
    };

    /// Throws ModelError when the merges are missing, malformed, or name or yield what is no token.
    MergeTable(const GgufHeader& header, const TokenArrays& arrays)
        : table_(strings(header).size()), yielded_(arrays.size()) {
        const std::vector<std::string_view>& merges = strings(header);
        std::string merged;
        for (std::size_t rank = 0; rank < merges.size(); ++rank) {
            const std::string_view merge = merges[rank];
            const std::size_t space = merge.find(' ', 1);
            if (space == std::string_view::npos || space + 1 == merge.size() ||
                merge.find(' ', space + 1) != std::string_view::npos) {
                fail_key(header, kMerges,
                         fmt::format("holds {} at {}, which is not two tokens "
                                     "with a space between",
                                     quote(merge), rank));
            }
            const std::string_view left = merge.substr(0, space);
            const std::string_view right = merge.substr(space + 1);
            merged.assign(left).append(right);
            const TokenId left_id = require(header, arrays, rank, left);
            const TokenId right_id = require(header, arrays, rank, right);
            const TokenId merged_id = require(header, arrays, rank, merged);
            // Of a merge that is listed twice the first, hence better, rank counts.
            table_.insert(static_cast<std::uint32_t>(left_id), static_cast<std::uint32_t>(right_id),
                          {static_cast<std::uint32_t>(rank), merged_id});
            yielded_[static_cast<std::size_t>(merged_id)] = true;
        }
    }

    const Merge* find(TokenId left, TokenId right) const noexcept {
        return table_.find(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
    }
    bool yields(TokenId id) const noexcept { return yielded_[static_cast<std::size_t>(id)]; }

  private:
    static const std::vector<std::string_view>& strings(const GgufHeader& header) {
        const MetaArray* array = header.find_array(kMerges);
        if (array == nullptr)
            fail_key(header, kMerges, "is missing, but \"gpt2\" tokenizers merge");
        const auto* merges = std::get_if<std::vector<std::string_view>>(&array->items);
        if (merges == nullptr) fail_key(header, kMerges, "is not an array of strings");
        return *merges;
    }

    static TokenId require(const GgufHeader& header, const TokenArrays& arrays, std::size_t rank,
                           std::string_view token) {
        const std::optional<TokenId> id = arrays.find(token);
        if (id) return *id;
        fail_key(header, kMerges,
                 fmt::format("needs {} at {}, which is no token", quote(token), rank));
    }

    PairTable<Merge> table_;
    std::vector<bool> yielded_;
};

/// The token of each byte.
using ByteTokens = std::array<TokenId, 256>;

/// Vocabularies made from text alone lack bytes that it did not hold: control characters, bytes
/// that UTF-8 does not use. One without the printable ASCII characters is damaged.
ByteTokens find_byte_tokens(const GgufHeader& header, const TokenArrays& arrays) {
    ByteTokens tokens;
    for (unsigned byte = 0; byte < tokens.size(); ++byte) {
        const std::string_view letter = byte_to_letter(static_cast<unsigned char>(byte));
        tokens[byte] = arrays.find(letter).value_or(Merger::kNoToken);
        if (tokens[byte] == Merger::kNoToken && byte >= 0x20 && byte < 0x7F) {
            fail_key(header, kTokensKey,
                     fmt::format("lacks {}, the token of byte 0x{:02X}", quote(letter), byte));
        }
    }
    return tokens;
}

/// What each token spells: text in the byte alphabet, special tokens as they stand. So do tokens
/// that are not in the alphabet, which some converters type as normal.
StringBlock spell(const TokenArrays& arrays) {
    StringBlock texts;
    for (TokenId id = 0; id < static_cast<TokenId>(arrays.size()); ++id) {
        const TokenType type = arrays.type(id);
        const bool text = type == TokenType::normal || type == TokenType::undefined ||
                          type == TokenType::unused || type == TokenType::byte;
        const auto bytes = text ? letters_to_bytes(arrays.token(id)) : std::nullopt;
        texts.append(bytes ? std::string_view(*bytes) : arrays.token(id));
    }
    return texts;
}

class BpeTokenizer final : public VocabTokenizer {
  public:
    struct Parts {
        TokenArrays arrays;
        MergeTable merges;
        ByteTokens bytes;
        SpecialIds ids;
        const PreTokenizerRule* rule;
        std::string warning;
    };

    BpeTokenizer(const GgufHeader& header, Parts parts)
        : VocabTokenizer(header, parts.arrays, std::move(parts.ids), spell(parts.arrays),
                         std::move(parts.warning)),
          merges_(std::move(parts.merges)),
          bytes_(parts.bytes),
          ignore_merges_(parts.rule->ignore_merges),
          pre_(*parts.rule),
          whole_(ignore_merges_ ? parts.arrays.size() : 0) {
        if (!ignore_merges_) return;
        const auto text_of = [this](TokenId id) { return text(id); };
        for (TokenId id = 0; id < static_cast<TokenId>(parts.arrays.size()); ++id) {
            if (type(id) == TokenType::normal && !text(id).empty()) {
                whole_.insert(text(id), id, text_of);
            }
        }
    }

    bool strips_leading_space() const noexcept override { return false; }

  private:
    void encode_text(std::string_view text, Encoding& out) const override {
        pre_.split(text, [&](std::string_view piece) {
            while (!piece.empty() && !out.over()) {
                const std::string_view part = utf8_prefix(piece, kMaxPartBytes);
                encode_part(part, out);
                piece.remove_prefix(part.size());
            }
            return !out.over();
        });
    }

    void encode_part(std::string_view piece, Encoding& out) const {
        if (ignore_merges_) {
            const TokenId id = whole_.find(piece, [this](TokenId other) { return text(other); });
            if (id != TextIndex::kNone) {
                out.ids.push_back(id);
                return;
            }
        }
        Merger& merger = out.merger;
        merger.clear();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            merger.append(bytes_[static_cast<unsigned char>(piece[i])],
                          static_cast<std::uint32_t>(i));
        }
        merger.merge([&](std::int32_t left, std::int32_t right) -> Merger::Candidate {
            const TokenId left_id = merger.at(left).id;
            const TokenId right_id = merger.at(right).id;
            const MergeTable::Merge* merge = merges_.find(left_id, right_id);
            if (merge == nullptr) return {Merger::kNoToken, 0};
            return {merge->merged, merge->rank};
        });
        for (std::int32_t i = 0; i >= 0; i = merger.at(i).next) {
            const TokenId id = merger.at(i).id;
            // A byte that the vocabulary lacks: the unknown token, or nothing without one.
            if (id != Merger::kNoToken) {
                out.ids.push_back(id);
            } else if (unknown()) {
                out.ids.push_back(*unknown());
            }
        }
    }

    MergeTable merges_;
    ByteTokens bytes_;
    bool ignore_merges_;
    PreTokenizer pre_;
    TextIndex whole_;  ///< for ignore_merges: token texts
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(const GgufHeader& header,
                                              Tokenizer::UnknownPre unknown) {
    TokenArrays arrays(header);
    MergeTable merges(header, arrays);
    const ByteTokens bytes = find_byte_tokens(header, arrays);

    const std::string_view pre = header.get_string_or(kPre, "");
    const PreTokenizerRule* rule = find_pre_tokenizer_rule(pre);
    std::string warning;
    if (rule == nullptr && !pre.empty() && unknown == Tokenizer::UnknownPre::refuse) {
        fail_key(header, kPre,
                 fmt::format("is {}, a way of cutting text that is not known here; "
                             "models.guess_pretokenizer = true takes the rule \"default\" instead, "
                             "which may make the model's answers worse",
                             quote(pre)));
    }
    if (rule == nullptr) {
        warning = fmt::format(
            "{}: key \"{}\" {}: text is cut by the rule \"default\", which may "
            "not be the model's; its answers may be worse",
            header.name(), kPre,
            pre.empty() ? "is missing" : "is " + quote(pre) + ", not known here");
        rule = &default_pre_tokenizer_rule();
    }
    SpecialIds defaults;
    defaults.add_bos = rule->add_bos;
    SpecialIds ids = SpecialIds::read(header, arrays.size(), defaults);
    ids.find_ends(header, arrays, [&](TokenId id) {
        return merges.yields(id) || std::find(bytes.begin(), bytes.end(), id) != bytes.end();
    });
    return std::make_unique<BpeTokenizer>(
        header, BpeTokenizer::Parts{std::move(arrays), std::move(merges), bytes, std::move(ids),
                                    rule, std::move(warning)});
}

}  // namespace shoal::model
