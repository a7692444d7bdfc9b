// From rules of expressions to automata.
#pragma once

#include "daemon/grammar/program.hpp"

namespace shoal::grammar {

/// Throws Refusal when the automata would be larger than the limits, when a rule can begin with
/// itself, or when no text at all matches `root`. Requires: every rule is defined.
Program compile(const RuleSet& rules, RuleId root);

}  // namespace shoal::grammar
