// Arguments of a call that are written one by one.
#pragma once

#include "daemon/grammar/expression.hpp"
#include "daemon/grammar/grammar.hpp"

namespace shoal::grammar {

/// What the function's schema allows, as the frame says. A schema without properties allows any
/// that are named as in programs. Throws Refusal with the place in the schema.
ExpressionId read_arguments(const Callable& function, const ArgumentFrame& frame, RuleSet& rules);

}  // namespace shoal::grammar
