#include "daemon/grammar/properties.hpp"

namespace shoal::grammar {

ExpressionId in_order(RuleSet& rules, const std::vector<Property>& properties,
                      std::optional<ExpressionId> additional, ExpressionId comma) {
    const auto as_rule = [&](const char* name, ExpressionId expression) {
        const RuleId rule = rules.add_rule(name);
        rules.define(rule, expression);
        return rules.reference(rule);
    };
    // What follows when some property has been written, and when none has: from the last one
    // backwards, each by a rule that goes on with the next one's.
    ExpressionId rest = rules.empty(), start = rules.never();
    if (additional) {
        rest = rules.repetition(rules.sequence({comma, *additional}), 0);
        start = rules.sequence({*additional, rest});
    }
    for (auto property = properties.rbegin(); property != properties.rend(); ++property) {
        const auto first = rules.sequence({property->pair, rest});
        start =
            property->required ? first : as_rule("an object", rules.alternatives({first, start}));
        const auto next = rules.sequence({comma, property->pair});
        rest = as_rule("the rest of an object",
                       rules.sequence({property->required ? next : rules.optional(next), rest}));
    }
    return start;
}

}  // namespace shoal::grammar
