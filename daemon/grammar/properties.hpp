// The properties of an object, or the arguments of a call, in the order of their schema.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

struct Property {
    std::string name;
    ExpressionId pair;  ///< the name with its value
    bool required;
};

/// At least one of them, with `comma` between: in their order, those that are not required maybe
/// left out, and behind them any number of `additional` ones. Throws Refusal as RuleSet does.
ExpressionId in_order(RuleSet& rules, const std::vector<Property>& properties,
                      std::optional<ExpressionId> additional, ExpressionId comma);

}  // namespace shoal::grammar
