#include "tests/tokenizer/small_vocabulary.hpp"

#include <fmt/core.h>

#include <bit>
#include <cstring>
#include <span>
#include <type_traits>

#include "daemon/model/tokenizer/byte_alphabet.hpp"

namespace shoal::model {
namespace {

/// Value types of GGUF.
enum : std::uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

class Bytes {
  public:
    template <class T>
    void number(T value) {
        static_assert(std::endian::native == std::endian::little);
        char raw[sizeof(T)];
        std::memcpy(raw, &value, sizeof raw);
        bytes_.append(raw, sizeof raw);
    }
    void string(std::string_view text) {
        number<std::uint64_t>(text.size());
        bytes_ += text;
    }
    void raw(std::string_view text) { bytes_ += text; }
    const std::string& str() const { return bytes_; }

  private:
    std::string bytes_;
};

void write(Bytes& out, const HeaderBuilder::Value& value) {
    std::visit(
        [&out](const auto& item) {
            using T = std::decay_t<decltype(item)>;
            const auto array = [&](std::uint32_t type, const auto& items, const auto& one) {
                out.number(std::uint32_t{kArray});
                out.number(type);
                out.number<std::uint64_t>(items.size());
                for (const auto& each : items) one(each);
            };
            if constexpr (std::is_same_v<T, bool>) {
                out.number(std::uint32_t{kBool});
                out.number<std::uint8_t>(item ? 1 : 0);
            } else if constexpr (std::is_same_v<T, std::uint32_t>) {
                out.number(std::uint32_t{kUint32});
                out.number(item);
            } else if constexpr (std::is_same_v<T, std::int32_t>) {
                out.number(std::uint32_t{kInt32});
                out.number(item);
            } else if constexpr (std::is_same_v<T, std::string>) {
                out.number(std::uint32_t{kString});
                out.string(item);
            } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
                array(kString, item, [&](const std::string& text) { out.string(text); });
            } else if constexpr (std::is_same_v<T, std::vector<float>>) {
                array(kFloat32, item, [&](float number) { out.number(number); });
            } else {
                array(kInt32, item, [&](std::int32_t number) { out.number(number); });
            }
        },
        value);
}

std::string in_letters(std::string_view text) {
    std::string letters;
    for (const char c : text) letters += byte_to_letter(static_cast<unsigned char>(c));
    return letters;
}

}  // namespace

std::unique_ptr<Tokenizer> HeaderBuilder::tokenizer(Tokenizer::UnknownPre unknown) const {
    Bytes out;
    out.raw("GGUF");
    out.number<std::uint32_t>(3);
    out.number<std::uint64_t>(0);
    out.number<std::uint64_t>(keys_.size());
    for (const auto& [key, value] : keys_) {
        out.string(key);
        write(out, value);
    }
    const auto bytes = std::as_bytes(std::span(out.str()));
    return Tokenizer::from_header(GgufHeader::parse(bytes, bytes.size(), "small.gguf"), unknown);
}

HeaderBuilder bpe_vocabulary(const std::string& pre,
                             const std::vector<std::pair<std::string, std::string>>& merges,
                             const std::vector<std::pair<std::string, std::int32_t>>& special) {
    std::vector<std::string> tokens, merge_lines;
    std::vector<std::int32_t> types;
    for (unsigned byte = 0; byte < 256; ++byte) {
        tokens.emplace_back(byte_to_letter(static_cast<unsigned char>(byte)));
    }
    for (const auto& [left, right] : merges) {
        tokens.push_back(in_letters(left + right));
        merge_lines.push_back(in_letters(left) + " " + in_letters(right));
    }
    types.assign(tokens.size(), 1);
    for (const auto& [text, type] : special) {
        tokens.push_back(text);
        types.push_back(type);
    }
    HeaderBuilder header;
    header.set("tokenizer.ggml.model", std::string("gpt2"))
        .set("tokenizer.ggml.pre", pre)
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", types)
        .set("tokenizer.ggml.merges", merge_lines);
    return header;
}

HeaderBuilder spm_vocabulary(const std::vector<std::string>& pieces,
                             const std::vector<std::pair<std::string, std::int32_t>>& special) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<std::int32_t> types = {2, 3, 3};
    for (unsigned byte = 0; byte < 256; ++byte) {
        tokens.push_back(fmt::format("<0x{:02X}>", byte));
        types.push_back(6);
    }
    std::vector<float> scores(tokens.size(), 0.0F);
    for (const std::string& piece : pieces) {
        scores.push_back(-static_cast<float>(tokens.size()));
        tokens.push_back(piece);
        types.push_back(1);
    }
    for (const auto& [text, type] : special) {
        tokens.push_back(text);
        types.push_back(type);
        scores.push_back(0.0F);
    }
    HeaderBuilder header;
    header.set("tokenizer.ggml.model", std::string("llama"))
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", types)
        .set("tokenizer.ggml.scores", scores)
        .set("tokenizer.ggml.bos_token_id", std::uint32_t{1})
        .set("tokenizer.ggml.eos_token_id", std::uint32_t{2})
        .set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
    return header;
}

std::string show(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
    std::string out;
    for (const TokenId id : ids) {
        if (!out.empty()) out += '|';
        out += tokenizer.text(id);
    }
    return out;
}

std::string join(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
    std::string out;
    for (const TokenId id : ids) out += tokenizer.piece(id);
    return out;
}

}  // namespace shoal::model
