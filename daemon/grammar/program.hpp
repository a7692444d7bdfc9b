// A compiled grammar: one automaton over bytes for each rule, which call each other. Nothing here
// knows how it was written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

/// A state of an automaton. Numbers below states.size() are states that are stored; those from
/// there on stand for copies that a counted repetition would have (see Loop).
using StateId = std::uint32_t;

struct State {
    enum class Op : std::uint8_t {
        bytes,     ///< goes on over `count` edges from `first`
        jump,      ///< is at `count` states from `first` at once
        call,      ///< matches the rule `first`, then goes on at `next`
        loop,      ///< enters the loop `first`
        loop_end,  ///< one turn of the loop `first` is complete
        rule_end,
    };
    Op op;
    bool live = false;   ///< the end of the rule can be reached from here
    bool taken = false;  ///< of a call: the rule must match at least one byte here
    std::uint32_t first = 0, count = 0;
    StateId next = 0;
};

struct ByteEdge {
    std::uint8_t first, last;
    StateId target;
};

/// A counted repetition. Its body is stored once, as the states from `begin` to `end`; the copy of
/// turn k of state s is base + k * (end - begin) + (s - begin). A body consumes at least one
/// byte. Bodies do not nest: a loop within a body is a rule of its own, which the body calls.
struct Loop {
    StateId begin, end;
    StateId entry;  ///< within the body
    StateId after;  ///< outside
    std::uint32_t min, max;
    StateId base;
};

struct CompiledRule {
    std::string name;
    StateId start;
    bool nullable = false;    ///< matches the empty text
    std::uint32_t order = 0;  ///< callers at a rule's very beginning come before those called
};

/// Immutable, and so thread-safe.
struct Program {
    std::vector<State> states;
    std::vector<ByteEdge> edges;
    std::vector<StateId> targets;
    std::vector<Loop> loops;  ///< by ascending base
    std::vector<CompiledRule> rules;
    RuleId root = 0;
    /// Bytes that no edge tells apart have the same class.
    std::array<std::uint8_t, 256> byte_class{};
    std::size_t byte_classes = 0;
    std::vector<std::uint8_t> byte_of_class;  ///< one of each
};

}  // namespace shoal::grammar
