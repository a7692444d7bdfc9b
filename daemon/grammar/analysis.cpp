#include "daemon/grammar/analysis.hpp"

#include <algorithm>
#include <bitset>
#include <limits>

#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

using Op = State::Op;

/// The states that follow without a byte; for a call, those after it are not among them.
template <class Visit>
void each_next(const Program& program, const State& state, const Visit& visit) {
    if (state.op == Op::jump) {
        for (std::uint32_t i = 0; i < state.count; ++i) visit(program.targets[state.first + i]);
    } else if (state.op == Op::loop) {
        const Loop& loop = program.loops[state.first];
        visit(loop.entry);
        if (loop.min == 0) visit(loop.after);
    } else if (state.op == Op::loop_end) {
        visit(program.loops[state.first].entry);
        visit(program.loops[state.first].after);
    }
}

/// Lists of numbers by number, in one array.
class Lists {
  public:
    /// `pairs` calls its argument with (list, member) for each, the same at every call.
    template <class Pairs>
    Lists(std::size_t lists, const Pairs& pairs) : starts_(lists + 1) {
        pairs([&](std::uint32_t list, std::uint32_t) { ++starts_[list + 1]; });
        for (std::size_t i = 0; i < lists; ++i) starts_[i + 1] += starts_[i];
        members_.resize(starts_.back());
        std::vector<std::uint32_t> filled(starts_.begin(), starts_.end() - 1);
        pairs([&](std::uint32_t list, std::uint32_t member) { members_[filled[list]++] = member; });
    }
    template <class Visit>
    void each(std::uint32_t list, const Visit& visit) const {
        for (std::uint32_t i = starts_[list]; i < starts_[list + 1]; ++i) visit(members_[i]);
    }

  private:
    std::vector<std::uint32_t> starts_, members_;
};

/// Which states reach the end of their rule: over bytes, or without one. Works backwards from the
/// ends, so that each edge is looked at once.
std::vector<bool> reach_end(const Program& program, bool over_bytes) {
    const auto count = static_cast<StateId>(program.states.size());
    const Lists before(count, [&](const auto& pair) {
        for (StateId s = 0; s < count; ++s) {
            const State& state = program.states[s];
            each_next(program, state, [&](StateId next) { pair(next, s); });
            if (state.op == Op::call) pair(state.next, s);
            if (state.op != Op::bytes || !over_bytes) continue;
            for (std::uint32_t i = 0; i < state.count; ++i) {
                pair(program.edges[state.first + i].target, s);
            }
        }
    });
    const Lists callers(count, [&](const auto& pair) {
        for (StateId s = 0; s < count; ++s) {
            const State& state = program.states[s];
            if (state.op == Op::call) pair(program.rules[state.first].start, s);
        }
    });
    std::vector<bool> reached(count);
    std::vector<StateId> work;
    const auto reach = [&](StateId s) {
        if (reached[s]) return;
        const State& state = program.states[s];
        if (state.op == Op::call) {
            const bool through = over_bytes || !state.taken;
            if (!through || !reached[state.next]) return;
            if (!reached[program.rules[state.first].start]) return;
        }
        reached[s] = true;
        work.push_back(s);
    };
    for (StateId s = 0; s < count; ++s) {
        if (program.states[s].op == Op::rule_end) reach(s);
    }
    while (!work.empty()) {
        const StateId s = work.back();
        work.pop_back();
        before.each(s, reach);
        callers.each(s, reach);
    }
    return reached;
}

/// Pairs of rules of which the first can begin with the second.
std::vector<std::pair<RuleId, RuleId>> first_calls(const Program& program) {
    std::vector<std::pair<RuleId, RuleId>> calls;
    std::vector<bool> seen(program.states.size());
    std::vector<StateId> work;
    const auto visit = [&](StateId s) {
        if (seen[s] || !program.states[s].live) return;
        seen[s] = true;
        work.push_back(s);
    };
    for (RuleId rule = 0; rule < program.rules.size(); ++rule) {
        visit(program.rules[rule].start);
        while (!work.empty()) {
            const State& state = program.states[work.back()];
            work.pop_back();
            each_next(program, state, visit);
            if (state.op != Op::call) continue;
            calls.emplace_back(rule, state.first);
            if (program.rules[state.first].nullable && !state.taken) visit(state.next);
        }
    }
    std::sort(calls.begin(), calls.end());
    calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
    return calls;
}

/// Follows calls among the rules that could not be ordered, each of which is called by another,
/// until one comes again.
[[noreturn]] void refuse_left_recursion(const Program& program, const Lists& callers,
                                        const std::vector<std::uint32_t>& waiting, RuleId rule) {
    std::vector<RuleId> path;
    while (std::find(path.begin(), path.end(), rule) == path.end()) {
        path.push_back(rule);
        RuleId caller = rule;
        callers.each(rule, [&](RuleId other) {
            if (waiting[other] > 0) caller = other;
        });
        rule = caller;
    }
    std::string way = program.rules[rule].name;
    const auto loop = std::find(path.begin(), path.end(), rule);
    const std::size_t shown = std::min<std::size_t>(path.end() - loop, 8);
    for (std::size_t i = 1; i < shown; ++i) way = program.rules[loop[i]].name + " -> " + way;
    throw Refusal("rule \"" + program.rules[rule].name +
                  "\" can begin with itself, before any text (" + program.rules[rule].name +
                  " -> " + way +
                  "); write such a repetition with * or +, or with the rule at the end");
}

void order_rules(Program& program) {
    const auto calls = first_calls(program);
    const auto count = program.rules.size();
    const Lists callees(count, [&](const auto& pair) {
        for (const auto& [caller, callee] : calls) pair(caller, callee);
    });
    std::vector<std::uint32_t> waiting(count);
    for (const auto& call : calls) ++waiting[call.second];
    std::vector<RuleId> ready;
    for (RuleId rule = 0; rule < count; ++rule) {
        if (waiting[rule] == 0) ready.push_back(rule);
    }
    for (std::size_t i = 0; i < ready.size(); ++i) {
        program.rules[ready[i]].order = static_cast<std::uint32_t>(i);
        callees.each(ready[i], [&](RuleId callee) {
            if (--waiting[callee] == 0) ready.push_back(callee);
        });
    }
    if (ready.size() == count) return;
    const Lists callers(count, [&](const auto& pair) {
        for (const auto& [caller, callee] : calls) pair(callee, caller);
    });
    const auto stuck = std::find_if(waiting.begin(), waiting.end(), [](auto n) { return n > 0; });
    refuse_left_recursion(program, callers, waiting, static_cast<RuleId>(stuck - waiting.begin()));
}

void classify_bytes(Program& program) {
    std::bitset<257> begins;
    begins.set(0);
    for (const ByteEdge& edge : program.edges) {
        begins.set(edge.first);
        begins.set(edge.last + 1U);
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
        if (begins[byte]) program.byte_of_class.push_back(static_cast<std::uint8_t>(byte));
        program.byte_class[byte] = static_cast<std::uint8_t>(program.byte_of_class.size() - 1);
    }
    program.byte_classes = program.byte_of_class.size();
}

}  // namespace

void analyse(Program& program) {
    const std::vector<bool> live = reach_end(program, true);
    for (StateId s = 0; s < live.size(); ++s) program.states[s].live = live[s];
    const std::vector<bool> nullable = reach_end(program, false);
    for (CompiledRule& rule : program.rules) rule.nullable = nullable[rule.start];
    if (!live[program.rules[program.root].start]) {
        throw Refusal("no text matches the grammar: rule \"" + program.rules[program.root].name +
                      "\" can never be completed");
    }
    order_rules(program);
    classify_bytes(program);
}

}  // namespace shoal::grammar
