#include "daemon/model/tokenizer/special_matcher.hpp"

#include <algorithm>

namespace shoal::model {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 14;

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

SpecialMatcher::Scan::Scan(const SpecialMatcher& matcher, std::string_view text)
    : matcher_(matcher), text_(text) {
    if (matcher.nodes_.size() == 1 || text.empty()) return;
    std::size_t block = (text.size() - 1) / kBlockBytes;
    states_.push_back(0);
    for (; block > 0; --block) states_.push_back(run(block, states_.back(), nullptr));
}

/// The automaton over a block, from its end; its state then.
std::uint32_t SpecialMatcher::Scan::run(std::size_t block, std::uint32_t state,
                                        std::vector<Match>* found) const {
    const std::size_t begin = block * kBlockBytes;
    for (std::size_t at = std::min(begin + kBlockBytes, text_.size()); at-- > begin;) {
        state = matcher_.step(state, static_cast<unsigned char>(text_[at]));
        const Node& node = matcher_.nodes_[state];
        if (found != nullptr && node.id >= 0) found->push_back({at, node.size, node.id});
    }
    return state;
}

std::optional<SpecialMatcher::Match> SpecialMatcher::Scan::next() {
    for (;;) {
        while (!found_.empty()) {
            const Match match = found_.back();
            found_.pop_back();
            if (match.begin < end_) continue;
            end_ = match.begin + match.size;
            return match;
        }
        if (states_.empty()) return std::nullopt;
        run(block_++, states_.back(), &found_);
        states_.pop_back();
    }
}

}  // namespace shoal::model
