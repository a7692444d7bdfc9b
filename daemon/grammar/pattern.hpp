// Regular expressions of JSON Schema's `pattern`.
#pragma once

#include <string_view>

#include "daemon/grammar/json_text.hpp"

namespace shoal::grammar {

/// What stands between the quotes of a JSON string that the ECMA-262 pattern finds. It finds its
/// text anywhere unless ^ and $ hold it. Characters that the pattern names are written plainly, not
/// as \u escapes. Throws Refusal, with the place in the pattern, for what is no regular language
/// or not supported: look-around, back references, \b, \p, and ^ or $ within a group.
ExpressionId read_pattern(std::string_view pattern, RuleSet& rules, JsonText& json);

}  // namespace shoal::grammar
