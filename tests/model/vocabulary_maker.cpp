#include "tests/model/vocabulary_maker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace shoal::tests {
namespace {

enum TokenType : std::int32_t { normal = 1, control = 3, unused = 5 };

constexpr std::array kLlamaSpecials = {"<|begin_of_text|>", "<|end_of_text|>",
                                       "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
constexpr std::array kQwenSpecials = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

constexpr const char* kLlamaTemplate =
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}"
    "<|end_header_id|>\n\n{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";
constexpr const char* kQwenTemplate =
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string utf8(std::uint32_t code) {
    if (code < 0x80) return {static_cast<char>(code)};
    return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

/// The printable characters that stand for bytes in byte-level BPE: bytes that are printable in
/// Latin-1 stand for themselves and come first, the others follow as U+0100 upward.
std::vector<std::string> byte_tokens() {
    const auto printable = [](std::uint32_t b) {
        return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xff && b != 0xad);
    };
    std::vector<std::string> tokens;
    for (std::uint32_t b = 0; b < 256; ++b) {
        if (printable(b)) tokens.push_back(utf8(b));
    }
    for (std::uint32_t code = 0x100; tokens.size() < 256; ++code) tokens.push_back(utf8(code));
    return tokens;
}

/// A token made by merging two others; a lower cost is merged earlier.
struct Merge {
    std::string left, right;
    std::uint32_t cost;
};

using Ranked = std::vector<std::pair<std::string, std::uint32_t>>;

/// Every left part with every right part, cheapest first.
std::vector<Merge> combine(const Ranked& left, const Ranked& right) {
    std::vector<Merge> merges;
    merges.reserve(left.size() * right.size());
    for (const auto& [l, l_cost] : left) {
        for (const auto& [r, r_cost] : right) merges.push_back({l, r, l_cost + r_cost});
    }
    std::stable_sort(merges.begin(), merges.end(),
                     [](const Merge& a, const Merge& b) { return a.cost < b.cost; });
    return merges;
}

Ranked ranked(const std::vector<Merge>& merges, bool with_space) {
    const std::string space = utf8(0x120);
    Ranked result;
    for (const Merge& merge : merges) {
        if (with_space || merge.left != space) {
            result.emplace_back(merge.left + merge.right, merge.cost);
        }
    }
    return result;
}

void add_merges(Vocabulary& vocabulary, const std::vector<Merge>& merges, std::size_t size) {
    for (const Merge& merge : merges) {
        if (vocabulary.tokens.size() == size) return;
        vocabulary.tokens.push_back(merge.left + merge.right);
        vocabulary.merges.push_back(merge.left + ' ' + merge.right);
    }
}

}  // namespace

Vocabulary make_vocabulary(std::string_view architecture, std::uint32_t n_vocab) {
    if (n_vocab < kMinVocabulary) {
        throw model::ModelError(fmt::format("a vocabulary of {} tokens is too small: at least {}",
                                            n_vocab, kMinVocabulary));
    }
    const bool llama = architecture == "llama";
    const std::size_t specials = llama ? kLlamaSpecials.size() : kQwenSpecials.size();
    const std::size_t regular = n_vocab - specials;

    Vocabulary vocabulary;
    vocabulary.tokens = byte_tokens();
    Ranked letters;
    std::uint32_t cost = 1;
    for (const char letter : std::string_view{"etaoinshrdlucmfwygpbvkxqjz"}) {
        letters.emplace_back(std::string{letter}, cost++);
    }
    Ranked starts = letters;
    starts.insert(starts.begin(), {utf8(0x120), 0});  // the space before a word
    const std::vector<Merge> pairs = combine(starts, letters);
    add_merges(vocabulary, pairs, regular);
    if (vocabulary.tokens.size() < regular) {
        add_merges(vocabulary, combine(ranked(pairs, true), letters), regular);
    }
    if (vocabulary.tokens.size() < regular) {
        add_merges(vocabulary, combine(ranked(pairs, true), ranked(pairs, false)), regular);
    }
    vocabulary.types.assign(vocabulary.tokens.size(), normal);
    while (vocabulary.tokens.size() < regular) {
        vocabulary.tokens.push_back(fmt::format("<|unused_{}|>", vocabulary.tokens.size()));
        vocabulary.types.push_back(unused);
    }
    const char* const* names = llama ? kLlamaSpecials.data() : kQwenSpecials.data();
    vocabulary.tokens.insert(vocabulary.tokens.end(), names, names + specials);
    vocabulary.types.insert(vocabulary.types.end(), specials, control);
    vocabulary.bos = static_cast<std::int32_t>(regular);
    vocabulary.eos = static_cast<std::int32_t>(n_vocab - 1);
    return vocabulary;
}

void set_vocabulary(model::GgufWriter& writer, std::string_view architecture,
                    const Vocabulary& vocabulary) {
    const bool llama = architecture == "llama";
    writer.set("tokenizer.ggml.model", std::string{"gpt2"});
    writer.set("tokenizer.ggml.pre", std::string{llama ? "llama-bpe" : "qwen2"});
    writer.set("tokenizer.ggml.tokens", vocabulary.tokens);
    writer.set("tokenizer.ggml.token_type", vocabulary.types);
    writer.set("tokenizer.ggml.merges", vocabulary.merges);
    writer.set("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(vocabulary.bos));
    writer.set("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(vocabulary.eos));
    writer.set("tokenizer.ggml.add_bos_token", llama);
    writer.set("tokenizer.chat_template", std::string{llama ? kLlamaTemplate : kQwenTemplate});
}

}  // namespace shoal::tests
