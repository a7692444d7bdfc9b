#include "daemon/model/tokenizer/special_matcher.hpp"

#include <algorithm>

namespace shoal::model {
namespace {

std::size_t total_bytes(const std::vector<std::pair<std::string_view, TokenId>>& tokens) noexcept {
    std::size_t total = 0;
    for (const auto& [text, id] : tokens) total += text.size();
    return total;
}

}  // namespace

SpecialMatcher::SpecialMatcher(const std::vector<std::pair<std::string_view, TokenId>>& tokens)
    : edges_(total_bytes(tokens)), nodes_(1) {
    std::vector<Birth> births;
    for (const auto& [text, id] : tokens) {
        Node& node = nodes_[insert(text, births)];
        node.id = id;
        node.size = static_cast<std::uint32_t>(text.size());
    }
    // Shallow nodes first: a node's failure link leads to a shallower one, which must be complete.
    std::stable_sort(births.begin(), births.end(),
                     [](const Birth& a, const Birth& b) { return a.depth < b.depth; });
    for (const Birth& birth : births) {
        if (birth.depth == 1) continue;
        Node& node = nodes_[birth.node];
        node.fail = step(nodes_[birth.parent].fail, birth.byte);
        if (node.id >= 0) continue;
        node.id = nodes_[node.fail].id;
        node.size = nodes_[node.fail].size;
    }
}

std::uint32_t SpecialMatcher::insert(std::string_view text, std::vector<Birth>& births) {
    std::uint32_t state = 0;
    std::uint32_t depth = 0;
    for (auto it = text.rbegin(); it != text.rend(); ++it) {
        const auto byte = static_cast<unsigned char>(*it);
        std::uint32_t next = child(state, byte);
        ++depth;
        if (next == 0) {
            next = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
            births.push_back({state, depth, next, byte});
            if (state == 0) {
                root_[byte] = next;
            } else {
                edges_.insert(state, byte, next);
            }
        }
        state = next;
    }
    return state;
}

/// 0, the root, when there is none: no edge leads to the root.
std::uint32_t SpecialMatcher::child(std::uint32_t state, unsigned char byte) const noexcept {
    if (state == 0) return root_[byte];
    const std::uint32_t* next = edges_.find(state, byte);
    return next == nullptr ? 0 : *next;
}

std::uint32_t SpecialMatcher::step(std::uint32_t state, unsigned char byte) const noexcept {
    for (;;) {
        const std::uint32_t next = child(state, byte);
        if (next != 0 || state == 0) return next;
        state = nodes_[state].fail;
    }
}

std::vector<SpecialMatcher::Match> SpecialMatcher::find_all(std::string_view text) const {
    std::vector<Match> matches;
    if (nodes_.size() == 1) return matches;
    std::uint32_t state = 0;
    for (std::size_t at = text.size(); at-- > 0;) {
        state = step(state, static_cast<unsigned char>(text[at]));
        const Node& node = nodes_[state];
        if (node.id >= 0) matches.push_back({at, node.size, node.id});
    }
    std::reverse(matches.begin(), matches.end());
    std::size_t kept = 0;
    std::size_t end = 0;
    for (const Match& match : matches) {
        if (match.begin < end) continue;
        end = match.begin + match.size;
        matches[kept++] = match;
    }
    matches.resize(kept);
    return matches;
}

}  // namespace shoal::model
