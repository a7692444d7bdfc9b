// A grammar before it is compiled: rules of expressions. GBNF and JSON Schema are both read into
// this.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/grammar/code_points.hpp"

namespace shoal::grammar {

using ExpressionId = std::uint32_t;
using RuleId = std::uint32_t;

inline constexpr std::uint32_t kUnbounded = std::numeric_limits<std::uint32_t>::max();

/// One expression; which members mean something depends on the kind.
struct Expression {
    enum class Kind : std::uint8_t {
        words,         ///< one of `words`, byte by byte
        character,     ///< one code point of `set`
        sequence,      ///< all `parts`
        alternatives,  ///< one of `parts`
        repetition,    ///< parts[0], `min` to `max` times
        reference,     ///< what the rule `rule` matches
    };
    Kind kind;
    std::vector<std::string> words;
    CodePointSet set;
    std::vector<ExpressionId> parts;
    std::uint32_t min = 0, max = 0;
    RuleId rule = 0;
};

struct Rule {
    std::string name;         ///< for errors
    ExpressionId expression;  ///< kUndefined until it is defined
    bool shared;  ///< compiled once, and not at each place that refers to it, however small it is
};

/// Rules and their expressions. Every function that adds one throws Refusal when the grammar would
/// become larger than the limits. Externally synchronised.
class RuleSet {
  public:
    static constexpr ExpressionId kUndefined = std::numeric_limits<ExpressionId>::max();

    ExpressionId empty() { return sequence({}); }
    /// Matches nothing, not even the empty text.
    ExpressionId never() { return character({}); }
    ExpressionId literal(std::string_view bytes) { return words({std::string(bytes)}); }
    ExpressionId words(std::vector<std::string> words);
    ExpressionId character(CodePointSet set);
    ExpressionId sequence(std::vector<ExpressionId> parts);
    ExpressionId alternatives(std::vector<ExpressionId> parts);
    ExpressionId repetition(ExpressionId part, std::uint32_t min, std::uint32_t max = kUnbounded);
    ExpressionId optional(ExpressionId part) { return repetition(part, 0, 1); }
    ExpressionId reference(RuleId rule);

    RuleId add_rule(std::string name, bool shared = false);
    void define(RuleId rule, ExpressionId expression) { rules_[rule].expression = expression; }

    /// A rule of its own around an expression, and the reference to it.
    ExpressionId shared(std::string name, ExpressionId expression);

    const Expression& operator[](ExpressionId id) const noexcept { return expressions_[id]; }
    const std::vector<Expression>& expressions() const noexcept { return expressions_; }
    const std::vector<Rule>& rules() const noexcept { return rules_; }
    bool defined(RuleId rule) const noexcept { return rules_[rule].expression != kUndefined; }

  private:
    ExpressionId add(Expression expression);
    void charge(std::size_t size);

    std::vector<Expression> expressions_;
    std::vector<Rule> rules_;
    std::size_t size_ = 0;  ///< what kMaxExpressions bounds
};

}  // namespace shoal::grammar
