#include "daemon/grammar/automaton.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "daemon/grammar/limits.hpp"

namespace shoal::grammar {
namespace {

using Op = State::Op;

std::size_t hash_of(const std::vector<Place>& places, std::size_t seed) noexcept {
    std::uint64_t hash = seed + 0x9E3779B97F4A7C15U;
    for (const Place& place : places) {
        hash ^= std::uint64_t{place.state} << 32 | place.frame;
        hash *= 0xFF51AFD7ED558CCDU;
        hash ^= hash >> 32;
    }
    return static_cast<std::size_t>(hash);
}

void sort_and_unite(std::vector<Place>& places) {
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
}

constexpr auto kLater = [](const auto& a, const auto& b) { return a.order > b.order; };

/// What a configuration costs beside its places and its row, in places.
constexpr std::size_t kOverhead = 8;

}  // namespace

Automaton::Automaton(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)),
      program_(grammar_->program()),
      classes_(program_.byte_classes),
      by_order_(program_.rules.size()) {
    for (RuleId rule = 0; rule < by_order_.size(); ++rule) {
        by_order_[program_.rules[rule].order] = rule;
    }
    configurations_.resize(2);
    ends_.resize(2);
    for (const ConfigurationId fixed : {kDead, kTooComplex}) {
        pin(fixed);
        rows_.insert(rows_.end(), classes_, fixed);
    }
    frames_.push_back({{{kEnd, kOutside}}, kUnknown, true});
}

ConfigurationId Automaton::start() {
    begin_closure();
    visit(program_.rules[program_.root].start, kOutside);
    // The root may match nothing, which is an end; and a frame of its own is not needed.
    go_on(true);
    return close();
}

ConfigurationId Automaton::step(ConfigurationId from, std::uint8_t byte) {
    begin_closure();
    for (const Place& place : configurations_[from].places) {
        const Stored where = stored(place.state);
        const State& state = program_.states[where.state];
        for (std::uint32_t i = state.first; i < state.first + state.count; ++i) {
            const ByteEdge& edge = program_.edges[i];
            if (edge.first <= byte && byte <= edge.last) {
                visit(neighbour(where, edge.target), place.frame);
            }
        }
        work_ += 1 + state.count / 8;
    }
    go_on(true);
    const ConfigurationId to = close();
    // Running out of work is this walk's trouble, not the configuration's.
    if (work_ <= kMaxWork) rows_[from * classes_ + program_.byte_class[byte]] = to;
    return to;
}

ConfigurationId Automaton::after(FrameId frame) {
    if (frames_[frame].after == kUnknown) {
        begin_closure();
        returns_ = frames_[frame].returns;
        for (const Place& back : returns_) {
            if (back.state == kEnd) {
                end_ = true;
            } else {
                visit(back.state, back.frame);
            }
        }
        go_on(true);
        const ConfigurationId after = close();
        if (work_ > kMaxWork) return after;
        frames_[frame].after = after;
    }
    return frames_[frame].after;
}

ConfigurationId Automaton::alone(std::span<const StateId> states) {
    std::vector<Place> places;
    for (const StateId state : states) places.push_back({state, kOutside});
    sort_and_unite(places);
    return intern_configuration(places, false);
}

StateId Automaton::like(StateId state, std::size_t bytes) const noexcept {
    const Stored where = stored(state);
    if (where.loop == nullptr) return state;
    const Loop& loop = *where.loop;
    std::uint32_t turn = where.turn;
    // A turn takes at least one byte, so that a bound further away than that is out of sight.
    if (turn >= loop.min) {
        if (loop.max - turn > bytes + 1) turn = loop.min;
    } else if (loop.min - turn > bytes + 1) {
        turn = 0;
    }
    return in_turn(loop, turn) + where.state;
}

std::vector<std::uint8_t> Automaton::possible_bytes(ConfigurationId id, std::size_t limit) {
    std::vector<std::uint8_t> possible;
    for (const std::uint8_t byte : program_.byte_of_class) {
        if (possible.size() >= limit) break;
        if (next(id, byte) != kDead) possible.push_back(byte);
    }
    // A class of several bytes is several possibilities.
    if (possible.size() == 1 && limit > 1) {
        const std::uint8_t of = program_.byte_class[possible[0]];
        for (std::size_t byte = possible[0] + 1U; byte < 256 && possible.size() < limit; ++byte) {
            if (program_.byte_class[byte] == of)
                possible.push_back(static_cast<std::uint8_t>(byte));
        }
    }
    return possible;
}

Automaton::Stored Automaton::stored(StateId state) const noexcept {
    if (state < program_.states.size()) return {state, nullptr, 0, 0};
    const auto behind =
        std::upper_bound(program_.loops.begin(), program_.loops.end(), state,
                         [](StateId value, const Loop& loop) { return value < loop.base; });
    const Loop& loop = *std::prev(behind);
    const StateId size = loop.end - loop.begin;
    const std::uint32_t turn = (state - loop.base) / size;
    const StateId shift = in_turn(loop, turn);
    return {state - shift, &loop, turn, shift};
}

StateId Automaton::neighbour(const Stored& of, StateId target) noexcept {
    const bool inside = of.loop != nullptr && of.loop->begin <= target && target < of.loop->end;
    return inside ? target + of.shift : target;
}

/// What is added to a stored state's number for its copy of a turn.
StateId Automaton::in_turn(const Loop& loop, std::uint32_t turn) noexcept {
    return loop.base + turn * (loop.end - loop.begin) - loop.begin;
}

void Automaton::begin_closure() noexcept {
    seen_.clear();
    open_.clear();
    found_.clear();
    calls_.clear();
    end_ = too_complex_ = false;
}

void Automaton::visit(StateId state, FrameId frame) {
    if (!seen_.insert(state, frame)) return;
    if (seen_.size() > kMaxItems * 4) too_complex_ = true;
    open_.push_back({state, frame});
}

void Automaton::go_on(bool returns) {
    while (!open_.empty() && !too_complex_) {
        const Place place = open_.back();
        open_.pop_back();
        ++work_;
        expand(place, returns);
    }
}

void Automaton::expand(const Place& place, bool returns) {
    const Stored where = stored(place.state);
    const State& state = program_.states[where.state];
    if (!state.live) return;
    switch (state.op) {
        case Op::bytes:
            found_.push_back(place);
            break;
        case Op::jump:
            for (std::uint32_t i = state.first; i < state.first + state.count; ++i) {
                visit(neighbour(where, program_.targets[i]), place.frame);
            }
            work_ += state.count;
            break;
        case Op::call:
            expand_call(state, where, place.frame);
            break;
        case Op::loop: {
            const Loop& loop = program_.loops[state.first];
            visit(loop.entry + in_turn(loop, 0), place.frame);
            if (loop.min == 0) visit(loop.after, place.frame);
            break;
        }
        case Op::loop_end:
            expand_loop_end(where, place.frame);
            break;
        case Op::rule_end:
            if (!returns) break;
            for (const Place& back : frames_[place.frame].returns) {
                if (back.state == kEnd) {
                    end_ = true;
                } else {
                    visit(back.state, back.frame);
                }
            }
            break;
    }
}

void Automaton::expand_call(const State& state, const Stored& where, FrameId frame) {
    const CompiledRule& rule = program_.rules[state.first];
    const StateId back = neighbour(where, state.next);
    // A rule that may match nothing is passed here, so that its own end need not return before
    // its frame is complete.
    if (rule.nullable && !state.taken) visit(back, frame);
    const auto add = [&](const Place& place) {
        calls_.push_back({rule.order, place});
        std::push_heap(calls_.begin(), calls_.end(), kLater);
    };
    if (back < program_.states.size() && program_.states[back].op == Op::rule_end) {
        for (const Place& place : frames_[frame].returns) add(place);
        work_ += frames_[frame].returns.size();
    } else {
        add({back, frame});
    }
    if (calls_.size() > kMaxItems * 8) too_complex_ = true;
}

void Automaton::expand_loop_end(const Stored& where, FrameId frame) {
    const Loop& loop = *where.loop;
    const std::uint32_t turns = where.turn + 1;
    if (turns < loop.max) visit(loop.entry + in_turn(loop, turns), frame);
    if (turns >= loop.min) visit(loop.after, frame);
}

/// Enters the rules that were called, each once, with all that it may return to: those that others
/// can begin with come after these.
ConfigurationId Automaton::close() {
    while (!calls_.empty() && !too_complex_) {
        const std::uint32_t order = calls_.front().order;
        returns_.clear();
        while (!calls_.empty() && calls_.front().order == order) {
            returns_.push_back(calls_.front().back);
            std::pop_heap(calls_.begin(), calls_.end(), kLater);
            calls_.pop_back();
        }
        sort_and_unite(returns_);
        work_ += returns_.size();
        if (returns_.size() > kMaxItems) return kTooComplex;
        visit(program_.rules[by_order_[order]].start, intern_frame(returns_));
        go_on(false);
    }
    if (too_complex_ || found_.size() > kMaxItems || work_ > kMaxWork) return kTooComplex;
    sort_and_unite(found_);
    if (found_.empty() && !end_) return kDead;
    return intern_configuration(found_, end_);
}

std::size_t Automaton::cost(const Configuration& configuration) const noexcept {
    return configuration.places.size() + classes_ / 2 + kOverhead;
}

ConfigurationId Automaton::intern_configuration(std::vector<Place>& places, bool end) {
    const std::size_t hash = hash_of(places, end ? 1 : 0);
    const auto [first, last] = configuration_index_.equal_range(hash);
    for (auto at = first; at != last; ++at) {
        if ((ends_[at->second] != 0) == end && configurations_[at->second].places == places) {
            return at->second;
        }
    }
    ConfigurationId id;
    if (free_configurations_.empty()) {
        id = static_cast<ConfigurationId>(configurations_.size());
        configurations_.emplace_back();
        ends_.push_back(0);
        rows_.insert(rows_.end(), classes_, kUnknown);
    } else {
        id = free_configurations_.back();
        free_configurations_.pop_back();
    }
    configurations_[id].places.assign(places.begin(), places.end());
    ends_[id] = end ? 1 : 0;
    configuration_index_.emplace(hash, id);
    remembered_ += cost(configurations_[id]);
    return id;
}

FrameId Automaton::intern_frame(std::vector<Place>& returns) {
    if (returns.size() == 1 && returns[0].state == kEnd) return kOutside;
    const std::size_t hash = hash_of(returns, 2);
    const auto [first, last] = frame_index_.equal_range(hash);
    for (auto at = first; at != last; ++at) {
        if (frames_[at->second].returns == returns) return at->second;
    }
    FrameId id;
    if (free_frames_.empty()) {
        id = static_cast<FrameId>(frames_.size());
        frames_.emplace_back();
    } else {
        id = free_frames_.back();
        free_frames_.pop_back();
    }
    frames_[id].returns.assign(returns.begin(), returns.end());
    frame_index_.emplace(hash, id);
    remembered_ += returns.size() + kOverhead;
    return id;
}

bool Automaton::full() const noexcept {
    return remembered_ > kMaxRemembered;
}

bool Automaton::collect(std::span<const ConfigurationId> roots) {
    std::vector<FrameId> frames;
    for (ConfigurationId id = 0; id < configurations_.size(); ++id) {
        if (configurations_[id].pins > 0) mark(id, frames);
    }
    for (const ConfigurationId id : roots) mark(id, frames);
    while (!frames.empty()) {
        const FrameId frame = frames.back();
        frames.pop_back();
        if (std::exchange(frames_[frame].used, true)) continue;
        for (const Place& back : frames_[frame].returns) frames.push_back(back.frame);
    }
    sweep();
    return remembered_ < kMaxRemembered / 4 * 3;
}

void Automaton::mark(ConfigurationId id, std::vector<FrameId>& frames) {
    if (std::exchange(configurations_[id].used, true)) return;
    for (const Place& place : configurations_[id].places) frames.push_back(place.frame);
}

void Automaton::sweep() {
    configuration_index_.clear();
    frame_index_.clear();
    free_configurations_.clear();
    free_frames_.clear();
    remembered_ = 0;
    // What was remembered between them may lead to what is forgotten now.
    std::fill(rows_.begin() + static_cast<std::ptrdiff_t>(2 * classes_), rows_.end(), kUnknown);
    for (ConfigurationId id = 2; id < configurations_.size(); ++id) {
        Configuration& configuration = configurations_[id];
        if (std::exchange(configuration.used, false)) {
            configuration_index_.emplace(hash_of(configuration.places, ends_[id]), id);
            remembered_ += cost(configuration);
        } else {
            configuration.places = {};
            free_configurations_.push_back(id);
        }
    }
    for (FrameId id = 1; id < frames_.size(); ++id) {
        Frame& frame = frames_[id];
        frame.after = kUnknown;
        if (std::exchange(frame.used, false)) {
            frame_index_.emplace(hash_of(frame.returns, 2), id);
            remembered_ += frame.returns.size() + kOverhead;
        } else {
            frame.returns = {};
            free_frames_.push_back(id);
        }
    }
}

}  // namespace shoal::grammar
