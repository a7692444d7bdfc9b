// Texts into small vocabularies of both kinds: whatever bytes come, encoding ends, a limit cuts the
// tokens short and changes none, and the tokens spell the text again.
//   input = kind flags limit *OCTET     ; kind chooses the vocabulary, the octets are the text
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/model/tokenizer/pre_tokenizer_rules.hpp"
#include "daemon/model/tokenizer/utf8.hpp"
#include "tests/tokenizer/small_vocabulary.hpp"

using namespace shoal::model;

namespace {

constexpr std::size_t kHead = 3;

std::unique_ptr<Tokenizer> make_bpe(std::string_view rule) {
    return bpe_vocabulary(std::string(rule),
                          {{"l", "o"},
                           {"lo", "w"},
                           {" ", "low"},
                           {" ", " "},
                           {"a", "a"},
                           {"aa", "aa"},
                           {"aaaa", "aaaa"},
                           {"1", "2"}},
                          {{"<|x|>", 3}, {"<|x|><|y|>", 3}, {"aab", 4}})
        .tokenizer();
}

std::unique_ptr<Tokenizer> make_spm(bool across_words) {
    auto header = spm_vocabulary(
        {"▁low", "▁lo", "lo", "aaaa", "aa", across_words ? "w▁" : "w", "▁", "▁▁", "你", "é", "a"},
        {{"<|x|>", 3}, {"aab", 4}});
    header.set("tokenizer.ggml.add_space_prefix", false);
    header.set("tokenizer.ggml.add_bos_token", false);
    return header.tokenizer();
}

const Tokenizer& tokenizer_of(std::size_t kind) {
    const auto rules = pre_tokenizer_names();
    kind %= rules.size() + 2;
    static std::map<std::size_t, std::unique_ptr<Tokenizer>> made;
    auto& tokenizer = made[kind];
    if (!tokenizer) {
        tokenizer = kind < rules.size() ? make_bpe(rules[kind]) : make_spm(kind == rules.size());
    }
    return *tokenizer;
}

// Space marks are spaces where the vocabulary has them.
std::string as_spelled(const Tokenizer& tokenizer, std::string_view text) {
    constexpr std::string_view kMark = "▁";
    if (!tokenizer.bos()) return std::string(text);
    std::string out;
    while (!text.empty()) {
        const bool mark = text.starts_with(kMark);
        out += mark ? ' ' : text.front();
        text.remove_prefix(mark ? kMark.size() : 1);
    }
    return out;
}

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < kHead) return 0;
    const Tokenizer& tokenizer = tokenizer_of(data[0]);
    Tokenizer::EncodeOptions options;
    options.add_special = (data[1] & 1) != 0;
    options.parse_special = (data[1] & 2) != 0;
    const std::string text(reinterpret_cast<const char*>(data) + kHead, size - kHead);
    const auto ids = tokenizer.encode(text, options);

    std::string spelled;
    for (const TokenId id : ids) spelled += tokenizer.text(id);
    require(spelled == as_spelled(tokenizer, text));
    if (!options.parse_special && valid_utf8_prefix(text) == text.size()) {
        Detokenizer detokenizer(tokenizer, true);
        std::string decoded;
        for (const TokenId id : ids) decoded += detokenizer.push(id);
        require(decoded + detokenizer.flush() == spelled);
    }

    options.max_tokens = data[2];
    const auto some = tokenizer.encode(text, options);
    if (ids.size() <= options.max_tokens) {
        require(some == ids);
    } else {
        require(some.size() > options.max_tokens && some.size() <= ids.size());
        require(std::equal(some.begin(), some.end(), ids.begin()));
    }
    return 0;
}
