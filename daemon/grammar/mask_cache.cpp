#include "daemon/grammar/mask_cache.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/grammar/limits.hpp"

namespace shoal::grammar {
namespace {

constexpr std::size_t kEntryBytes = 128;  ///< what an entry costs beside its lists, about
/// Nodes of the token tree that take as long as one item of the automaton, about.
constexpr std::size_t kNodesPerWork = 4;
/// A subtree from this size on is worth asking whether all of it stays where it is.
constexpr std::uint32_t kLargeSubtree = 8;

void allow(std::span<const TokenId> tokens, TokenMask& mask) noexcept {
    for (const TokenId token : tokens) mask.allow(token);
}

/// The groups of bytes all of which lead back to the configuration itself, as within a string.
std::uint32_t looping_groups(Automaton& automaton, ConfigurationId id) {
    std::uint32_t groups = ~std::uint32_t{0};
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const auto one = static_cast<std::uint8_t>(byte);
        if (automaton.next(id, one) != id) groups &= ~byte_group(one);
    }
    return groups;
}

}  // namespace

MaskCache::MaskCache(std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)) {}

void MaskCache::clear(Automaton& automaton) noexcept {
    for (const auto& [id, local] : locals_) automaton.unpin(id);
    for (const auto& [id, mask] : masks_) automaton.unpin(id);
    locals_.clear();
    masks_.clear();
    bytes_ = 0;
}

void MaskCache::remember(Automaton& automaton, std::size_t bytes) {
    if (bytes_ + bytes > kMaxMaskBytes) clear(automaton);
    bytes_ += bytes;
}

std::shared_ptr<const TokenMask> MaskCache::mask(Automaton& automaton, ConfigurationId at) {
    if (at == Automaton::kTooComplex) return nullptr;
    if (const auto known = masks_.find(at); known != masks_.end()) return known->second;
    automaton.begin_work();
    // Pins among what is remembered may be what fills it.
    if (automaton.full() && !automaton.collect(std::array{at})) {
        clear(automaton);
        if (!automaton.collect(std::array{at})) return nullptr;
    }
    auto mask = std::make_shared<TokenMask>(vocabulary_->size());
    if (!add_places(automaton, at, *mask)) return nullptr;
    if (automaton.ends(at)) {
        for (const TokenId token : vocabulary_->ends()) mask->allow(token);
    }
    remember(automaton, kEntryBytes + mask->words().size_bytes());
    masks_.emplace(at, mask);
    automaton.pin(at);
    return mask;
}

bool MaskCache::add_places(Automaton& automaton, ConfigurationId at, TokenMask& mask) {
    // Copied, as configurations move when there are more of them.
    std::vector<Place> places(automaton.places(at).begin(), automaton.places(at).end());
    std::sort(places.begin(), places.end(),
              [](const Place& a, const Place& b) { return a.frame < b.frame; });
    // A walk may forget what is not pinned, which includes where this one is.
    automaton.pin(at);
    bool fine = true;
    std::vector<StateId> states;
    for (std::size_t i = 0; i < places.size() && fine; ++i) {
        states.push_back(automaton.like(places[i].state, Vocabulary::kUsualBytes));
        if (i + 1 < places.size() && places[i + 1].frame == places[i].frame) continue;
        fine = add_frame(automaton, states, places[i].frame, mask);
        states.clear();
    }
    const TokenTree& longer = vocabulary_->longer();
    fine = fine && walk(automaton, longer, 0, longer.size(), at,
                        [&](std::uint32_t first, std::uint32_t last, ConfigurationId) {
                            allow(longer.tokens(first, last), mask);
                        });
    automaton.unpin(at);
    return fine;
}

bool MaskCache::add_frame(Automaton& automaton, std::vector<StateId>& states, FrameId frame,
                          TokenMask& mask) {
    const ConfigurationId alone = automaton.alone(states);
    const Local* decided = local(automaton, alone);
    if (decided == nullptr) return false;
    allow(decided->few, mask);
    if (decided->many) {
        for (std::size_t i = 0; i < mask.words().size(); ++i) {
            mask.words()[i] |= decided->many->words()[i];
        }
    }
    if (frame == Automaton::kOutside || decided->out.empty()) return true;
    const ConfigurationId after = automaton.after(frame);
    if (after == Automaton::kTooComplex) return false;
    if (automaton.places(after).empty()) return true;
    automaton.pin(after);
    const TokenTree& tree = vocabulary_->usual();
    bool fine = true;
    for (const std::uint32_t node : decided->out) {
        fine = fine && walk(automaton, tree, node + 1, tree[node].end, after,
                            [&](std::uint32_t first, std::uint32_t last, ConfigurationId) {
                                allow(tree.tokens(first, last), mask);
                            });
    }
    automaton.unpin(after);
    return fine;
}

const MaskCache::Local* MaskCache::local(Automaton& automaton, ConfigurationId alone) {
    if (const auto known = locals_.find(alone); known != locals_.end()) return &known->second;
    automaton.pin(alone);
    const TokenTree& tree = vocabulary_->usual();
    Local local;
    const bool fine = walk(automaton, tree, 0, tree.size(), alone,
                           [&](std::uint32_t first, std::uint32_t last, ConfigurationId id) {
                               const auto tokens = tree.tokens(first, last);
                               local.few.insert(local.few.end(), tokens.begin(), tokens.end());
                               if (!automaton.ends(id)) return;
                               for (std::uint32_t node = first; node < last; ++node) {
                                   if (tree[node].end > node + 1) local.out.push_back(node);
                               }
                           });
    if (!fine) {
        automaton.unpin(alone);
        return nullptr;
    }
    if (local.few.size() > vocabulary_->size() / 32) {
        local.many.emplace(vocabulary_->size());
        allow(local.few, *local.many);
        local.few.clear();
    }
    local.few.shrink_to_fit();
    local.out.shrink_to_fit();
    remember(automaton, kEntryBytes + (local.few.size() + local.out.size()) * sizeof(TokenId) +
                            (local.many ? local.many->words().size_bytes() : 0));
    return &locals_.emplace(alone, std::move(local)).first->second;
}

template <class Visit>
bool MaskCache::walk(Automaton& automaton, const TokenTree& tree, std::uint32_t begin,
                     std::uint32_t end, ConfigurationId from, const Visit& visit) {
    if (begin == end) return true;
    const std::size_t above = tree[begin].depth - 1U;
    if (path_.size() <= kMaxTokenBytes) path_.resize(kMaxTokenBytes + 1);
    path_[above] = from;
    std::size_t looked_at = 0;
    // The last configuration that led back to itself, and with which bytes.
    ConfigurationId loop = Automaton::kDead;
    std::uint32_t loop_groups = 0;
    for (std::uint32_t node = begin; node < end;) {
        if (++looked_at % kNodesPerWork == 0 && !automaton.spend(1)) return false;
        const TokenTree::Node& at = tree[node];
        const ConfigurationId before = path_[at.depth - 1U];
        const ConfigurationId id = automaton.next(before, at.byte);
        if (id == Automaton::kDead) {
            node = at.end;
            continue;
        }
        if (id == Automaton::kTooComplex) return false;
        path_[at.depth] = id;
        if (automaton.full()) {
            const auto roots = std::span(path_).subspan(above, at.depth - above + 1);
            if (!automaton.collect(roots)) return false;
            loop = Automaton::kDead;
        }
        std::uint32_t reached = node + 1;
        if (id == before && at.end - node >= kLargeSubtree) {
            if (loop != id) loop_groups = looping_groups(automaton, id);
            loop = id;
            if ((at.below & ~loop_groups) == 0) reached = at.end;
        }
        visit(node, reached, id);
        node = reached;
    }
    return automaton.spend(1);
}

}  // namespace shoal::grammar
