// The grammar notation of llama.cpp's server.
#pragma once

#include <string_view>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

/// Adds the rules of a GBNF text and returns `root`. Throws Refusal, with line and column, when the
/// text is not GBNF or larger than the limits. Source: llama.cpp, grammars/README.md and the reader
/// behind it; where both leave a choice, GRAMMAR.md says what is done.
RuleId read_gbnf(std::string_view text, RuleSet& rules);

}  // namespace shoal::grammar
