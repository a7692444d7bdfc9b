#include "daemon/grammar/compiler.hpp"

#include <algorithm>
#include <compare>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/grammar/analysis.hpp"
#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

using Kind = Expression::Kind;
using Op = State::Op;

/// A rule up to this size without calls is repeated where it is used: a call costs more, and a
/// mask that is remembered for a state ends where its rule does.
constexpr std::size_t kInlineWeight = 64;
/// Rules that use rules that use rules are looked through this many times.
constexpr int kInlineRounds = 4;
/// A repetition of up to this size is written out, a larger one counts.
constexpr std::size_t kUnrollWeight = 256;
constexpr std::size_t kMaxDepth = 600;
constexpr std::size_t kTooHeavy = std::numeric_limits<std::uint32_t>::max();

/// How large each expression becomes, written out.
class Weights {
  public:
    explicit Weights(const RuleSet& rules)
        : rules_(rules),
          weights_(rules.expressions().size()),
          nullable_(weights_.size()),
          calls_(weights_.size()),
          inlined_(rules.rules().size()) {
        measure();
        check_depth();
        for (int round = 0; round < kInlineRounds; ++round) {
            for (RuleId rule = 0; rule < inlined_.size(); ++rule) {
                const Rule& candidate = rules.rules()[rule];
                inlined_[rule] = !candidate.shared && !calls_[candidate.expression] &&
                                 weight(candidate.expression) <= kInlineWeight;
            }
            measure();
        }
    }

    std::size_t weight(ExpressionId id) const noexcept { return weights_[id]; }
    bool inlined(RuleId rule) const noexcept { return inlined_[rule]; }
    /// False for certain; any rule that is not inlined counts as one that may match nothing.
    bool maybe_nullable(ExpressionId id) const noexcept { return nullable_[id]; }

  private:
    // Parts have lower numbers than the whole, so one pass upwards sees them first; a rule may
    // stand behind its reference, whose weight of the last round is then used.
    void measure() {
        for (ExpressionId id = 0; id < weights_.size(); ++id) {
            weights_[id] = std::min(kTooHeavy, weigh(rules_[id]));
            nullable_[id] = matches_nothing(rules_[id]);
            calls_[id] = has_calls(rules_[id]);
        }
    }
    std::size_t weigh(const Expression& e) const {
        std::size_t sum = 1;
        switch (e.kind) {
            case Kind::words:
                for (const auto& word : e.words) sum += word.size();
                return sum;
            case Kind::character:
                return 1 + e.set.ranges().size();
            case Kind::sequence:
            case Kind::alternatives:
                for (const ExpressionId part : e.parts) sum += weights_[part];
                return sum;
            case Kind::repetition: {
                const std::size_t once = weights_[e.parts[0]] + 1;
                const std::size_t all = once * (e.max == kUnbounded ? e.min + 1 : e.max);
                return all <= kUnrollWeight ? all : once + kInlineWeight;
            }
            case Kind::reference:
                return inlined_[e.rule] ? weights_[rules_.rules()[e.rule].expression] : 2;
        }
        return sum;
    }
    bool matches_nothing(const Expression& e) const {
        const auto nothing = [&](ExpressionId part) { return nullable_[part]; };
        switch (e.kind) {
            case Kind::words:
                return !e.words.empty() && e.words[0].empty();
            case Kind::character:
                return false;
            case Kind::sequence:
                return std::all_of(e.parts.begin(), e.parts.end(), nothing);
            case Kind::alternatives:
                return std::any_of(e.parts.begin(), e.parts.end(), nothing);
            case Kind::repetition:
                return e.min == 0 || nullable_[e.parts[0]];
            case Kind::reference:
                return !inlined_[e.rule] || nullable_[rules_.rules()[e.rule].expression];
        }
        return false;
    }
    bool has_calls(const Expression& e) const {
        if (e.kind == Kind::reference) return !inlined_[e.rule];
        return std::any_of(e.parts.begin(), e.parts.end(),
                           [&](ExpressionId part) { return calls_[part]; });
    }
    void check_depth() const {
        std::vector<std::size_t> depth(weights_.size(), 1);
        for (ExpressionId id = 0; id < depth.size(); ++id) {
            for (const ExpressionId part : rules_[id].parts) {
                depth[id] = std::max(depth[id], depth[part] + 1);
            }
            if (depth[id] > kMaxDepth) throw Refusal("the grammar is nested too deeply");
        }
    }

    const RuleSet& rules_;
    std::vector<std::size_t> weights_;
    std::vector<bool> nullable_, calls_, inlined_;
};

/// Writes automata backwards: every function takes the state that follows and returns the first.
class Builder {
  public:
    Builder(const RuleSet& rules, RuleId root) : rules_(rules), weights_(rules) {
        program_.root = compiled(root);
    }

    Program build() && {
        // Building one rule finds others that it calls.
        for (std::size_t i = 0; i < pending_.size(); ++i) {
            const StateId end = add({Op::rule_end});
            const auto [part, min, max] = pending_[i];
            const StateId start = write_copies(part, min, max, end);
            program_.rules[i].start = start;
        }
        place_loops();
        analyse(program_);
        return std::move(program_);
    }

  private:
    StateId add(State state) {
        if (program_.states.size() >= kMaxStates) {
            throw Refusal("the grammar is too large: it compiles to more than " +
                          std::to_string(kMaxStates) + " states");
        }
        program_.states.push_back(state);
        return static_cast<StateId>(program_.states.size() - 1);
    }
    StateId add_jump(const std::vector<StateId>& targets) {
        State jump{Op::jump};
        set_targets(jump, targets);
        return add(jump);
    }
    void set_targets(State& jump, const std::vector<StateId>& targets) {
        jump.first = static_cast<std::uint32_t>(program_.targets.size());
        jump.count = static_cast<std::uint32_t>(targets.size());
        program_.targets.insert(program_.targets.end(), targets.begin(), targets.end());
    }
    StateId add_bytes(const std::vector<ByteEdge>& edges) {
        State state{Op::bytes};
        state.first = static_cast<std::uint32_t>(program_.edges.size());
        state.count = static_cast<std::uint32_t>(edges.size());
        program_.edges.insert(program_.edges.end(), edges.begin(), edges.end());
        return add(state);
    }

    /// What a rule of the program matches: an expression, so many times.
    struct Copies {
        ExpressionId part;
        std::uint32_t min = 1, max = 1;

        auto operator<=>(const Copies&) const = default;
    };

    RuleId compiled(RuleId rule) {
        const auto [at, added] = compiled_.try_emplace(rule, RuleId{});
        const Rule& source = rules_.rules()[rule];
        if (added) at->second = add_rule(source.name, {source.expression});
        return at->second;
    }
    /// The rule that stands for what cannot be written in place.
    RuleId wrapped(Copies copies) {
        const auto [at, added] = wrapped_.try_emplace(copies, RuleId{});
        if (added) at->second = add_rule("a repetition", copies);
        return at->second;
    }
    RuleId add_rule(std::string name, Copies copies) {
        pending_.push_back(copies);
        program_.rules.push_back({std::move(name), 0});
        return static_cast<RuleId>(pending_.size() - 1);
    }
    StateId call(RuleId rule, StateId next, bool taken = false) {
        State state{Op::call};
        state.taken = taken;
        state.first = rule;
        state.next = next;
        return add(state);
    }

    StateId write(ExpressionId id, StateId next) {
        const Expression& e = rules_[id];
        switch (e.kind) {
            case Kind::words:
                return write_words(e.words, next);
            case Kind::character:
                return write_character(e.set, next);
            case Kind::sequence:
                for (auto part = e.parts.rbegin(); part != e.parts.rend(); ++part) {
                    next = write(*part, next);
                }
                return next;
            case Kind::alternatives: {
                std::vector<StateId> starts;
                for (const ExpressionId part : e.parts) starts.push_back(write(part, next));
                return add_jump(starts);
            }
            case Kind::repetition:
                return write_repetition(id, next);
            case Kind::reference:
                if (weights_.inlined(e.rule)) return write(rules_.rules()[e.rule].expression, next);
                return call(compiled(e.rule), next);
        }
        return next;
    }

    /// A tree of bytes. Requires: the words are sorted.
    StateId write_words(const std::vector<std::string>& words, StateId next) {
        struct Node {
            std::vector<std::pair<std::uint8_t, std::size_t>> children;
            bool word = false;
        };
        std::vector<Node> nodes(1);
        std::vector<std::size_t> path{0};
        std::string_view before;
        for (const std::string& word : words) {
            const auto shared = static_cast<std::size_t>(
                std::mismatch(word.begin(), word.end(), before.begin(), before.end()).first -
                word.begin());
            path.resize(shared + 1);
            for (std::size_t i = shared; i < word.size(); ++i) {
                if (nodes.size() > kMaxStates) throw Refusal("the grammar's texts are too large");
                nodes[path.back()].children.emplace_back(static_cast<std::uint8_t>(word[i]),
                                                         nodes.size());
                path.push_back(nodes.size());
                nodes.emplace_back();
            }
            nodes[path.back()].word = true;
            before = word;
        }
        std::vector<StateId> starts(nodes.size(), next);
        for (std::size_t i = nodes.size(); i-- > 0;) {
            if (nodes[i].children.empty() && nodes[i].word) continue;
            std::vector<ByteEdge> edges;
            for (const auto& [byte, child] : nodes[i].children) {
                edges.push_back({byte, byte, starts[child]});
            }
            starts[i] = add_bytes(edges);
            if (nodes[i].word) starts[i] = add_jump({starts[i], next});
        }
        return starts[0];
    }

    StateId write_character(const CodePointSet& set, StateId next) {
        // Sequences that end in the same ranges share the states for them.
        std::map<std::string, StateId> tails;
        std::vector<ByteEdge> edges;
        for (const ByteSequence& sequence : utf8_sequences(set)) {
            StateId target = next;
            std::string key;
            for (std::size_t i = sequence.length; i-- > 1;) {
                const auto [first, last] = sequence.bytes[i];
                key += {static_cast<char>(first), static_cast<char>(last)};
                const auto [tail, added] = tails.try_emplace(key, StateId{});
                if (added) tail->second = add_bytes({{first, last, target}});
                target = tail->second;
            }
            edges.push_back({sequence.bytes[0].first, sequence.bytes[0].last, target});
        }
        return add_bytes(edges);
    }

    StateId write_repetition(ExpressionId id, StateId next) {
        const Expression& e = rules_[id];
        const ExpressionId part = e.parts[0];
        if (e.max != kUnbounded) return write_copies(part, e.min, e.max, next);
        const StateId again = add({Op::jump});
        const StateId start = write(part, again);
        set_targets(program_.states[again], {start, next});
        return e.min == 0 ? again : write_copies(part, e.min - 1, e.min - 1, start);
    }

    StateId write_copies(ExpressionId part, std::uint32_t min, std::uint32_t max, StateId next) {
        const std::size_t once = weights_.weight(part) + 1;
        if (max > 1 && once * max > kUnrollWeight) return write_counted({part, min, max}, next);
        const StateId after = next;
        for (std::uint32_t turn = max; turn > 0; --turn) {
            next = write(part, next);
            if (turn > min) next = add_jump({next, after});
        }
        return next;
    }

    StateId write_counted(Copies copies, StateId next) {
        if (in_loop_) return call(wrapped(copies), next);
        // A turn that may match nothing could be skipped, so there is no lower bound.
        const bool skips = weights_.maybe_nullable(copies.part);
        const auto index = static_cast<std::uint32_t>(program_.loops.size());
        program_.loops.push_back({0, 0, 0, next, skips ? 0 : copies.min, copies.max, 0});
        const StateId begin = add({.op = Op::loop_end, .first = index});
        in_loop_ = true;
        const StateId entry =
            skips ? call(wrapped({copies.part}), begin, true) : write(copies.part, begin);
        in_loop_ = false;
        Loop& loop = program_.loops[index];
        loop.begin = begin;
        loop.end = static_cast<StateId>(program_.states.size());
        loop.entry = entry;
        return add({.op = Op::loop, .first = index});
    }

    /// Gives the copies of the loops' bodies their numbers.
    void place_loops() {
        std::uint64_t base = program_.states.size();
        for (Loop& loop : program_.loops) {
            loop.base = static_cast<StateId>(base);
            base += std::uint64_t{loop.end - loop.begin} * loop.max;
            if (base > std::numeric_limits<StateId>::max()) {
                throw Refusal("the grammar's repetitions are too large");
            }
        }
    }

    const RuleSet& rules_;
    Weights weights_;
    Program program_;
    std::vector<Copies> pending_;  ///< of each of the program's rules
    std::map<RuleId, RuleId> compiled_;
    std::map<Copies, RuleId> wrapped_;
    bool in_loop_ = false;
};

}  // namespace

Program compile(const RuleSet& rules, RuleId root) {
    return Builder(rules, root).build();
}

}  // namespace shoal::grammar
