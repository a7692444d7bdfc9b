// Who has room in the cache, and who gives way.
#include <algorithm>

#include "daemon/engine/batch.hpp"

namespace shoal {
namespace {

std::uint64_t blocks_of(std::uint64_t positions) {
    return (positions + exec::KvCache::kBlockPositions - 1) / exec::KvCache::kBlockPositions;
}

// Tokens of a prompt that are computed elsewhere right now, for which another one waits.
constexpr std::uint32_t kWorthWaiting = 32;

}  // namespace

// Whether one that runs is computing what this one needs as well, and nobody has yet: a copy of it
// costs less than to compute it twice, as for several answers to one prompt.
bool Batch::may_share_soon(const Generation& generation) const {
    const exec::Sequence& sequence = generation.sequence();
    if (!generation.may_reuse()) return false;
    std::uint32_t soon = 0;
    for (const auto& g : running_) {
        const exec::Sequence& s = g->sequence();
        if (!g->prefilling() || s.pool) continue;
        const std::uint32_t common =
            common_rows(s.tokens, *s.shared_until, sequence.tokens, *sequence.shared_until);
        if (common >= s.computed + kWorthWaiting) soon = std::max(soon, common);
    }
    return soon != 0 && soon >= prefixes_.find(sequence).positions + kWorthWaiting;
}

// By those that run.
std::vector<bool> Batch::blocks_in_use() const {
    std::vector<bool> used(blocks_.capacity_blocks());
    for (const auto& g : running_) {
        for (const std::uint32_t block : blocks_.blocks(g->sequence().id)) used[block] = true;
    }
    return used;
}

double Batch::cache_use() const {
    const auto used = blocks_in_use();
    return static_cast<double>(std::count(used.begin(), used.end(), true)) /
           blocks_.capacity_blocks();
}

// Whether all that run, and this one, can go on for a block each: else one of them would be sent
// back soon. Alone everything fits, as a context is no longer than the cache.
bool Batch::has_room(const Generation& generation, const PrefixIndex::Match& known) const {
    const std::uint64_t has = blocks_of(generation.sequence().tokens.size());
    std::uint64_t needed = has - blocks_of(known.positions);
    const auto count_growth = [&](std::uint64_t blocks, const Generation& g) {
        if (blocks < blocks_of(g.most_positions())) ++needed;
    };
    count_growth(has, generation);
    for (const auto& g : running_) count_growth(blocks_.blocks(g->sequence().id).size(), *g);

    std::vector<bool> used = blocks_in_use();
    const auto common = blocks_.blocks(known.from).first(blocks_of(known.positions));
    // In part of the last one another text goes on, so it is copied.
    if (known.positions % exec::KvCache::kBlockPositions != 0 && used[common.back()]) ++needed;
    for (const std::uint32_t block : common) used[block] = true;
    const auto in_use = static_cast<std::uint64_t>(std::count(used.begin(), used.end(), true));
    return in_use + needed <= blocks_.capacity_blocks();
}

PrefixIndex::Match Batch::known_of(const Generation& generation) {
    if (!generation.may_reuse()) return {};
    if (known_.place != generation.place() || known_.version != prefixes_.version()) {
        known_ = {generation.place(), prefixes_.version(), prefixes_.find(generation.sequence())};
    }
    return known_.match;
}

// Takes blocks for the tokens there are, if there is room.
bool Batch::seat(Generation& generation) {
    exec::Sequence& sequence = generation.sequence();
    const PrefixIndex::Match known = known_of(generation);
    if (known.positions != 0) prefixes_.use(known.from);
    if (!has_room(generation, known)) return false;

    const exec::SequenceId id = next_sequence_++;
    const bool shares = known.positions != 0 && blocks_.fork(known.from, id, known.positions);
    if (shares) root_.fork({known.from, id, known.positions});
    const auto end = static_cast<std::uint32_t>(sequence.tokens.size());
    while (!blocks_.reserve(id, known.positions, end)) {
        if (evict()) continue;
        // A copy of the last block in common had no room.
        free(id);
        return false;
    }
    const bool first = sequence.id == 0;
    sequence.id = id;
    sequence.computed = known.positions;
    if (first) {
        generation.set_cached(known.positions);
        counts_.prompt_tokens += generation.prompt_tokens();
        // Of one that goes on, more than its prompt may be known.
        counts_.cached_tokens += std::min(known.positions, generation.prompt_tokens());
    }
    return true;
}

// Gives up the end of the text that was not used for longest, half of it at a time; at last one
// that is coming from the disks. False when there is none.
bool Batch::evict() {
    const auto oldest = prefixes_.oldest();
    if (!oldest) {
        if (!recall_) return false;
        free(recall_->text.id);
        recall_.reset();
        return true;
    }
    const auto half = static_cast<std::uint32_t>(blocks_of(oldest->positions) / 2) *
                      exec::KvCache::kBlockPositions;
    if (half == 0) {
        prefixes_.drop(oldest->from);
    } else {
        const exec::SequenceId id = next_sequence_++;
        static_cast<void>(blocks_.fork(oldest->from, id, half));  // It has as many.
        root_.fork({oldest->from, id, half});
        prefixes_.shorten(oldest->from, id, half);
    }
    free(oldest->from);
    return true;
}

// Blocks for what the next step may compute: whoever has the last place gives up
// its own where there are none.
void Batch::make_room() {
    for (std::size_t i = 0; i < running_.size(); ++i) {
        const exec::Sequence& s = running_[i]->sequence();
        const auto end = static_cast<std::uint32_t>(s.tokens.size());
        while (i < running_.size() && !blocks_.reserve(s.id, s.computed, end)) {
            if (!evict()) send_back();
        }
    }
}

void Batch::send_back() {
    std::unique_ptr<Generation> last = std::move(running_.back());
    running_.pop_back();
    give_back(last->sequence());
    last->forget();
    join(ready_, std::move(last));
    ++counts_.preemptions;
}

// Its blocks stay while nobody else needs them.
void Batch::give_back(const exec::Sequence& sequence) {
    // To the devices one that never ran is unknown. Texts for a vector come by the thousand, and
    // seldom twice.
    if (sequence.computed == 0 || sequence.pool) return free(sequence.id);
    for (const exec::SequenceId id : prefixes_.keep(sequence)) free(id);
}

void Batch::free(exec::SequenceId sequence) {
    blocks_.release(sequence);
    root_.release(sequence);
}

}  // namespace shoal
