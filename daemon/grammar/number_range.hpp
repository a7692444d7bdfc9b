// Numbers between bounds, as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

/// A bound of a number, exactly as it was written: no binary rounding.
struct NumberBound {
    bool negative = false;
    std::uint64_t whole = 0;
    std::string fraction;  ///< its digits, none at the end that is 0
    bool exclusive = false;

    bool is_zero() const noexcept { return whole == 0 && fraction.empty(); }
};

/// Digits of a bound before and behind the point.
inline constexpr std::size_t kMaxWholeDigits = 18, kMaxFractionDigits = 40;

/// From a JSON number's text. Nothing when it has more digits than that.
std::optional<NumberBound> parse_bound(std::string_view text, bool exclusive);

/// Less than, equal to or greater than 0 as a is to b, whether they are exclusive or not.
int compare(const NumberBound& a, const NumberBound& b) noexcept;

/// The numbers from `low` to `high`, as far as there are any bounds, without exponent, and with at
/// most `max_fraction` digits behind the point. Matches nothing when there is no such number.
/// Throws Refusal as RuleSet does.
ExpressionId number_range(RuleSet& rules, const std::optional<NumberBound>& low,
                          const std::optional<NumberBound>& high, std::uint32_t max_fraction);

/// Integers of any sign that `divisor` divides. Throws Refusal as RuleSet does. Requires: divisor >
/// 0.
ExpressionId multiples(RuleSet& rules, std::uint32_t divisor);

}  // namespace shoal::grammar
