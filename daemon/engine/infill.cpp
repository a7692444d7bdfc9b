#include "daemon/engine/infill.hpp"

#include <cstdint>
#include <string_view>

namespace shoal {
namespace {

std::optional<model::TokenId> token_of(const model::GgufHeader& header, std::string_view now,
                                       std::string_view before, std::size_t n_vocab) {
    for (const std::string_view key : {now, before}) {
        if (header.find(key) == nullptr) continue;
        const std::uint64_t id = header.get_uint(key);
        if (id < n_vocab) return static_cast<model::TokenId>(id);
    }
    return std::nullopt;
}

}  // namespace

std::optional<InfillTokens> infill_tokens(const model::GgufHeader& header, std::size_t n_vocab) {
    const auto prefix = token_of(header, "tokenizer.ggml.fim_pre_token_id",
                                 "tokenizer.ggml.prefix_token_id", n_vocab);
    const auto suffix = token_of(header, "tokenizer.ggml.fim_suf_token_id",
                                 "tokenizer.ggml.suffix_token_id", n_vocab);
    const auto middle = token_of(header, "tokenizer.ggml.fim_mid_token_id",
                                 "tokenizer.ggml.middle_token_id", n_vocab);
    if (!prefix || !suffix || !middle) return std::nullopt;
    return InfillTokens{*prefix, *suffix, *middle};
}

std::vector<model::TokenId> infill_prompt(const InfillTokens& with,
                                          const model::Tokenizer& tokenizer,
                                          std::string_view before, std::string_view behind,
                                          std::size_t max_tokens, const std::stop_token& stop) {
    std::vector<model::TokenId> out;
    const auto add = [&](std::string_view text) {
        const auto ids = tokenizer.encode(text, {.add_special = false,
                                                 .parse_special = false,
                                                 .max_tokens = max_tokens,
                                                 .stop = &stop});
        out.insert(out.end(), ids.begin(), ids.end());
    };
    if (tokenizer.adds_bos()) out.push_back(*tokenizer.bos());
    out.push_back(with.prefix);
    add(before);
    out.push_back(with.suffix);
    add(behind);
    out.push_back(with.middle);
    return out;
}

}  // namespace shoal
