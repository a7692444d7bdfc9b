// JSON Schema as a grammar.
#pragma once

#include <string_view>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

/// Adds rules for the JSON texts that the schema describes and returns the first one. Throws
/// Refusal, with the JSON pointer of what it is about, when the text is no JSON, when the schema
/// says something that would not be held, or when it is larger than the limits.
RuleId read_schema(std::string_view text, RuleSet& rules);

}  // namespace shoal::grammar
