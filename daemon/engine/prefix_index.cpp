#include "daemon/engine/prefix_index.hpp"

#include <algorithm>
#include <functional>

namespace shoal {

std::uint32_t common_rows(std::span<const std::int32_t> a, std::uint32_t a_shared_until,
                          std::span<const std::int32_t> b, std::uint32_t b_shared_until) noexcept {
    const auto equal = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
    const auto tokens = static_cast<std::uint32_t>(equal);
    if (a_shared_until == b_shared_until) return tokens;
    return std::min({tokens, a_shared_until, b_shared_until});
}

PrefixIndex::Text* PrefixIndex::look_up(exec::SequenceId id) noexcept {
    const auto it =
        std::find_if(texts_.begin(), texts_.end(), [&](const Text& text) { return text.id == id; });
    return it == texts_.end() ? nullptr : &*it;
}

const PrefixIndex::Text* PrefixIndex::least_recent() const noexcept {
    const Text* least = nullptr;
    for (const Text& text : texts_) {
        if (!text.runs && (least == nullptr || text.used < least->used)) least = &text;
    }
    return least;
}

bool PrefixIndex::knows(exec::SequenceId id) const noexcept {
    return std::any_of(texts_.begin(), texts_.end(),
                       [&](const Text& text) { return text.id == id; });
}

std::size_t PrefixIndex::kept() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(texts_.begin(), texts_.end(), [](const Text& text) { return !text.runs; }));
}

void PrefixIndex::add_running(const exec::Sequence& sequence) {
    Text* text = look_up(sequence.id);
    if (text == nullptr) {
        text = &texts_.emplace_back();
        text->id = sequence.id;
        text->shared_until = sequence.shared_until.value_or(0);
    }
    ++version_;
    text->tokens.assign(sequence.tokens.begin(), sequence.tokens.begin() + sequence.computed);
    text->runs = true;
    text->used = ++uses_;
}

std::vector<exec::SequenceId> PrefixIndex::keep(const exec::Sequence& sequence) {
    add_running(sequence);
    look_up(sequence.id)->runs = false;
    std::vector<exec::SequenceId> superfluous;
    const auto within = [](const Text& a, const Text& b) {
        return common_rows(a.tokens, a.shared_until, b.tokens, b.shared_until) == a.tokens.size();
    };
    // Only the new one can have made others superfluous, or be within one of them.
    const Text& added = *look_up(sequence.id);
    const auto covers = [&](const Text& text) { return &text != &added && within(added, text); };
    if (std::any_of(texts_.begin(), texts_.end(), covers)) {
        superfluous.push_back(added.id);
    } else {
        for (const Text& text : texts_) {
            if (!text.runs && &text != &added && within(text, added)) {
                superfluous.push_back(text.id);
            }
        }
    }
    for (const exec::SequenceId id : superfluous) drop(id);
    while (too_many()) {
        superfluous.push_back(least_recent()->id);
        drop(superfluous.back());
    }
    return superfluous;
}

bool PrefixIndex::too_many() const noexcept {
    std::uint64_t tokens = 0;
    for (const Text& text : texts_) tokens += text.runs ? 0 : text.tokens.size();
    return kept() > kMostKept || tokens > most_tokens_;
}

void PrefixIndex::drop(exec::SequenceId id) {
    ++version_;
    std::erase_if(texts_, [&](const Text& text) { return text.id == id; });
}

PrefixIndex::Match PrefixIndex::find(const exec::Sequence& sequence) const {
    Match best;
    const std::span<const std::int32_t> tokens(sequence.tokens);
    for (const Text& text : texts_) {
        const std::uint32_t rows =
            common_rows(text.tokens, text.shared_until, tokens.first(tokens.size() - 1),
                        sequence.shared_until.value_or(0));
        if (rows > best.positions) best = {text.id, rows};
    }
    return best;
}

std::optional<PrefixIndex::Match> PrefixIndex::oldest() const noexcept {
    const Text* const text = least_recent();
    if (text == nullptr) return std::nullopt;
    return Match{text->id, static_cast<std::uint32_t>(text->tokens.size())};
}

std::vector<PrefixIndex::Kept> PrefixIndex::kept_texts() const {
    std::vector<const Text*> texts;
    for (const Text& text : texts_) {
        if (!text.runs) texts.push_back(&text);
    }
    std::ranges::sort(texts, std::greater(), &Text::used);
    std::vector<Kept> out;
    for (const Text* text : texts) out.push_back({text->id, text->tokens, text->shared_until});
    return out;
}

void PrefixIndex::shorten(exec::SequenceId id, exec::SequenceId to, std::uint32_t positions) {
    Text& text = *look_up(id);
    ++version_;
    text.id = to;
    text.tokens.resize(positions);
}

}  // namespace shoal
