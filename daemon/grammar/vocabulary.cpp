#include "daemon/grammar/vocabulary.hpp"

#include <algorithm>
#include <string>

#include "daemon/grammar/limits.hpp"

namespace shoal::grammar {
namespace {

/// The text tokens of these lengths, sorted by their bytes.
std::vector<TokenId> sorted_tokens(std::span<const std::string_view> texts,
                                   std::span<const TokenUse> uses, std::size_t min_bytes,
                                   std::size_t max_bytes) {
    if (texts.size() != uses.size() || texts.size() > kMaxVocabulary) {
        throw VocabularyError("a vocabulary of " + std::to_string(texts.size()) +
                              " tokens with the uses of " + std::to_string(uses.size()) +
                              "; both must be the same and at most " +
                              std::to_string(kMaxVocabulary));
    }
    std::vector<TokenId> sorted;
    for (TokenId id = 0; id < texts.size(); ++id) {
        const std::size_t bytes = texts[id].size();
        if (uses[id] == TokenUse::text && bytes >= min_bytes && bytes <= max_bytes) {
            sorted.push_back(id);
        }
    }
    std::sort(sorted.begin(), sorted.end(), [&](TokenId a, TokenId b) {
        return texts[a] != texts[b] ? texts[a] < texts[b] : a < b;
    });
    return sorted;
}

}  // namespace

std::uint32_t byte_group(std::uint8_t byte) noexcept {
    const auto group = [&]() -> std::uint32_t {
        if (byte >= 'a' && byte <= 'z') return 0;
        if (byte >= 'A' && byte <= 'Z') return 1;
        if (byte >= '0' && byte <= '9') return 2;
        if (byte == ' ') return 3;
        if (byte == '"') return 4;
        if (byte == '\\') return 5;
        if (byte < ' ') return 6;
        if (byte >= 0x80) return 7;
        return 8 + byte % 24U;
    };
    return std::uint32_t{1} << group();
}

TokenTree::TokenTree(std::span<const TokenId> sorted, std::span<const std::string_view> texts)
    : tokens_(sorted.begin(), sorted.end()) {
    std::vector<std::uint32_t> path;  // the open nodes, from the root down
    const auto close = [&](std::size_t depth) {
        for (; path.size() > depth; path.pop_back()) {
            Node& node = nodes_[path.back()];
            node.end = static_cast<std::uint32_t>(nodes_.size());
            if (path.size() > 1) {
                nodes_[path[path.size() - 2]].below |= node.below | byte_group(node.byte);
            }
        }
    };
    std::string_view before;
    for (std::uint32_t i = 0; i < sorted.size(); ++i) {
        const std::string_view text = texts[sorted[i]];
        const auto shared = static_cast<std::size_t>(
            std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first -
            text.begin());
        close(shared);
        for (std::size_t at = shared; at < text.size(); ++at) {
            path.push_back(static_cast<std::uint32_t>(nodes_.size()));
            nodes_.push_back(
                {0, i, 0, static_cast<std::uint16_t>(at + 1), static_cast<std::uint8_t>(text[at])});
        }
        before = text;
    }
    close(0);
    nodes_.push_back({0, static_cast<std::uint32_t>(sorted.size()), 0, 0, 0});
}

Vocabulary::Vocabulary(std::span<const std::string_view> texts, std::span<const TokenUse> uses)
    : size_(texts.size()),
      usual_(sorted_tokens(texts, uses, 1, kUsualBytes), texts),
      longer_(sorted_tokens(texts, uses, kUsualBytes + 1, kMaxTokenBytes), texts) {
    for (TokenId id = 0; id < uses.size(); ++id) {
        if (uses[id] == TokenUse::end) ends_.push_back(id);
    }
}

}  // namespace shoal::grammar
