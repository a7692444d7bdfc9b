#include "daemon/grammar/expression.hpp"

#include <algorithm>
#include <utility>

#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {

void RuleSet::charge(std::size_t size) {
    if (size > kMaxExpressions - size_) {
        throw Refusal("the grammar is too large: more than " + std::to_string(kMaxExpressions) +
                      " literals, classes, groups and references");
    }
    size_ += size;
}

ExpressionId RuleSet::add(Expression expression) {
    // Long lists count by their length, so that memory is bounded as well.
    std::size_t size = 1 + expression.parts.size() + expression.set.ranges().size();
    for (const std::string& word : expression.words) size += 1 + word.size() / 8;
    charge(size);
    expressions_.push_back(std::move(expression));
    return static_cast<ExpressionId>(expressions_.size() - 1);
}

ExpressionId RuleSet::words(std::vector<std::string> words) {
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    Expression expression{Expression::Kind::words};
    expression.words = std::move(words);
    return add(std::move(expression));
}

ExpressionId RuleSet::character(CodePointSet set) {
    Expression expression{Expression::Kind::character};
    expression.set = std::move(set);
    return add(std::move(expression));
}

ExpressionId RuleSet::sequence(std::vector<ExpressionId> parts) {
    if (parts.size() == 1) return parts[0];
    Expression expression{Expression::Kind::sequence};
    expression.parts = std::move(parts);
    return add(std::move(expression));
}

ExpressionId RuleSet::alternatives(std::vector<ExpressionId> parts) {
    if (parts.size() == 1) return parts[0];
    const auto is_words = [&](ExpressionId id) {
        return expressions_[id].kind == Expression::Kind::words;
    };
    // Words side by side become one tree, in which a text is at one place and not at thousands.
    const auto split = std::stable_partition(parts.begin(), parts.end(), is_words);
    if (split - parts.begin() > 1) {
        std::vector<std::string> all;
        for (auto part = parts.begin(); part != split; ++part) {
            const auto& some = expressions_[*part].words;
            all.insert(all.end(), some.begin(), some.end());
        }
        const ExpressionId tree = words(std::move(all));
        parts.erase(parts.begin() + 1, split);
        parts[0] = tree;
        if (parts.size() == 1) return tree;
    }
    Expression expression{Expression::Kind::alternatives};
    expression.parts = std::move(parts);
    return add(std::move(expression));
}

ExpressionId RuleSet::repetition(ExpressionId part, std::uint32_t min, std::uint32_t max) {
    if ((max != kUnbounded && max > kMaxRepetition) || min > kMaxRepetition) {
        throw Refusal("more than " + std::to_string(kMaxRepetition) + " repetitions");
    }
    if (min == 1 && max == 1) return part;
    Expression expression{Expression::Kind::repetition};
    expression.parts = {part};
    expression.min = min;
    expression.max = max;
    return add(std::move(expression));
}

ExpressionId RuleSet::reference(RuleId rule) {
    Expression expression{Expression::Kind::reference};
    expression.rule = rule;
    return add(std::move(expression));
}

RuleId RuleSet::add_rule(std::string name, bool shared) {
    if (rules_.size() >= kMaxRules) {
        throw Refusal("the grammar has more than " + std::to_string(kMaxRules) + " rules");
    }
    rules_.push_back({std::move(name), kUndefined, shared});
    return static_cast<RuleId>(rules_.size() - 1);
}

ExpressionId RuleSet::shared(std::string name, ExpressionId expression) {
    const RuleId rule = add_rule(std::move(name), true);
    define(rule, expression);
    return reference(rule);
}

}  // namespace shoal::grammar
