#include "daemon/grammar/number_range.hpp"

#include <algorithm>
#include <vector>

namespace shoal::grammar {
namespace {

/// The largest whole part where nothing bounds it, which ends a number.
constexpr std::uint64_t kMaxWhole = 9'999'999'999'999'999'999U;
/// Digits of an integer that is a multiple of something.
constexpr std::uint32_t kMaxMultipleDigits = 16;

class RangeWriter {
  public:
    RangeWriter(RuleSet& rules, std::uint32_t max_fraction)
        : rules_(rules), max_fraction_(max_fraction) {}

    /// Numbers without a sign; `high` may be missing.
    ExpressionId between(const NumberBound& low, const NumberBound* high) {
        const std::uint64_t last = high != nullptr ? high->whole : kMaxWhole;
        if (last < low.whole) return rules_.never();
        if (last == low.whole) {
            return rules_.sequence({rules_.literal(std::to_string(last)), fraction(&low, high)});
        }
        std::vector<ExpressionId> ways{
            rules_.sequence({rules_.literal(std::to_string(low.whole)), fraction(&low, nullptr)})};
        const std::uint64_t inner_last = high != nullptr ? last - 1 : last;
        if (low.whole + 1 <= inner_last) {
            ways.push_back(rules_.sequence(
                {whole_numbers(low.whole + 1, inner_last), fraction(nullptr, nullptr)}));
        }
        if (high != nullptr) {
            ways.push_back(
                rules_.sequence({rules_.literal(std::to_string(last)), fraction(nullptr, high)}));
        }
        return rules_.alternatives(std::move(ways));
    }

  private:
    ExpressionId digit(char first, char last) {
        return rules_.character(
            CodePointSet({{static_cast<char32_t>(first), static_cast<char32_t>(last)}}));
    }
    ExpressionId digits(std::uint32_t min, std::uint32_t max) {
        return rules_.repetition(digit('0', '9'), min, max);
    }

    /// Requires: first <= last.
    ExpressionId whole_numbers(std::uint64_t first, std::uint64_t last) {
        std::vector<ExpressionId> ways;
        std::uint64_t from = first;
        for (std::uint64_t power = 10; from <= last;) {
            const bool longest = power > last / 10 || power > kMaxWhole / 10;
            const std::uint64_t to = from < power ? std::min(last, power - 1) : last;
            if (from < power || longest) {
                ways.push_back(
                    same_length(std::to_string(from), std::to_string(to), 0, true, true));
                if (to == last) break;
                from = to + 1;
            }
            power *= 10;
        }
        return rules_.alternatives(std::move(ways));
    }
    /// Digits from `at` on, of numbers that began like `low`, `high`, both or neither of the two.
    ExpressionId same_length(const std::string& low, const std::string& high, std::size_t at,
                             bool like_low, bool like_high) {
        const auto left = static_cast<std::uint32_t>(low.size() - at);
        if (left == 0) return rules_.empty();
        if (!like_low && !like_high) return digits(left, left);
        const char first = like_low ? low[at] : '0', last = like_high ? high[at] : '9';
        return each_digit(first, last, like_low, like_high,
                          [&](bool l, bool h) { return same_length(low, high, at + 1, l, h); });
    }
    /// One digit and what may follow it: `rest` is told whether the number still is like its
    /// bounds.
    template <class Rest>
    ExpressionId each_digit(char first, char last, bool like_low, bool like_high,
                            const Rest& rest) {
        if (first > last) return rules_.never();
        if (first == last) return rules_.sequence({digit(first, last), rest(like_low, like_high)});
        std::vector<ExpressionId> ways;
        char inner_first = first, inner_last = last;
        if (like_low) {
            ways.push_back(rules_.sequence({digit(first, first), rest(true, false)}));
            ++inner_first;
        }
        if (like_high) {
            ways.push_back(rules_.sequence({digit(last, last), rest(false, true)}));
            --inner_last;
        }
        if (inner_first <= inner_last) {
            ways.push_back(rules_.sequence({digit(inner_first, inner_last), rest(false, false)}));
        }
        return rules_.alternatives(std::move(ways));
    }

    static bool zeros_from(const NumberBound& bound, std::size_t at) noexcept {
        return at >= bound.fraction.size();
    }
    /// Whether a number that began like these bounds may have no more digits.
    static bool may_end(const NumberBound* low, const NumberBound* high, std::size_t at) noexcept {
        if (low != nullptr && (!zeros_from(*low, at) || low->exclusive)) return false;
        return high == nullptr || !zeros_from(*high, at) || !high->exclusive;
    }
    /// The point and digits behind a whole part that is that of `low`, of `high` or of both.
    ExpressionId fraction(const NumberBound* low, const NumberBound* high) {
        const bool bare = may_end(low, high, 0);
        if (max_fraction_ == 0) return bare ? rules_.empty() : rules_.never();
        const auto with_point =
            rules_.sequence({rules_.literal("."), fraction_digits(low, high, 0)});
        return bare ? rules_.optional(with_point) : with_point;
    }
    /// At least one digit.
    ExpressionId fraction_digits(const NumberBound* low, const NumberBound* high, std::size_t at) {
        const auto left = static_cast<std::uint32_t>(max_fraction_ - at);
        if (left == 0) return rules_.never();
        // Whatever follows a bound that is complete and included is larger.
        if (low != nullptr && zeros_from(*low, at) && !low->exclusive) low = nullptr;
        if (low == nullptr && high == nullptr) return digits(1, left);
        const auto digit_of = [&](const NumberBound& bound) {
            return zeros_from(bound, at) ? '0' : bound.fraction[at];
        };
        const char first = low != nullptr ? digit_of(*low) : '0';
        const char last = high != nullptr ? digit_of(*high) : '9';
        return each_digit(first, last, low != nullptr, high != nullptr, [&](bool l, bool h) {
            const NumberBound* next_low = l ? low : nullptr;
            const NumberBound* next_high = h ? high : nullptr;
            const auto more = fraction_digits(next_low, next_high, at + 1);
            return may_end(next_low, next_high, at + 1) ? rules_.optional(more) : more;
        });
    }

    RuleSet& rules_;
    std::uint32_t max_fraction_;
};

}  // namespace

std::optional<NumberBound> parse_bound(std::string_view text, bool exclusive) {
    NumberBound bound;
    bound.exclusive = exclusive;
    bound.negative = text.starts_with('-');
    if (bound.negative) text.remove_prefix(1);
    const std::size_t e = std::min(text.find_first_of("eE"), text.size());
    std::string digits;
    int point = 0;
    bool behind = false;
    for (const char c : text.substr(0, e)) {
        if (c == '.') behind = true;
        if (c == '.') continue;
        digits += c;
        if (!behind) ++point;
    }
    if (e < text.size()) {
        const std::string exponent(text.substr(e + 1));
        if (exponent.size() > 4) return std::nullopt;
        point += std::stoi(exponent);
    }
    while (!digits.empty() && digits.back() == '0' && static_cast<int>(digits.size()) > point) {
        digits.pop_back();
    }
    if (point < 0) {
        if (digits.find_first_not_of('0') == digits.npos) digits.clear();
        if (!digits.empty()) digits.insert(0, std::min<std::size_t>(-point, 400), '0');
        point = 0;
    }
    const auto whole_digits = static_cast<std::size_t>(point);
    if (whole_digits > 400) return std::nullopt;
    if (digits.size() < whole_digits) digits.resize(whole_digits, '0');
    const std::size_t first = std::min(digits.find_first_not_of('0'), digits.size());
    if (whole_digits - std::min(first, whole_digits) > kMaxWholeDigits) return std::nullopt;
    if (digits.size() - whole_digits > kMaxFractionDigits) return std::nullopt;
    for (std::size_t i = first; i < whole_digits; ++i) {
        bound.whole = bound.whole * 10 + static_cast<std::uint64_t>(digits[i] - '0');
    }
    bound.fraction = digits.substr(whole_digits);
    if (bound.is_zero()) bound.negative = false;
    return bound;
}

int compare(const NumberBound& a, const NumberBound& b) noexcept {
    if (a.negative != b.negative) return a.negative ? -1 : 1;
    const int sign = a.negative ? -1 : 1;
    if (a.whole != b.whole) return a.whole < b.whole ? -sign : sign;
    // Without zeros at their ends, digits compare as words do.
    const int order = a.fraction.compare(b.fraction);
    return order == 0 ? 0 : order < 0 ? -sign : sign;
}

ExpressionId number_range(RuleSet& rules, const std::optional<NumberBound>& low,
                          const std::optional<NumberBound>& high, std::uint32_t max_fraction) {
    RangeWriter writer(rules, max_fraction);
    const NumberBound zero;
    NumberBound above_zero;
    above_zero.exclusive = true;
    std::vector<ExpressionId> ways;
    if (!high || !high->negative) {
        const bool from_zero = !low || low->negative;
        ways.push_back(writer.between(from_zero ? zero : *low, high ? &*high : nullptr));
    }
    if (!low || low->negative) {
        // Upside down: the size of a negative number grows downwards. -0 is not written.
        const bool to_zero = !high || !high->negative;
        const auto size = writer.between(to_zero ? above_zero : *high, low ? &*low : nullptr);
        ways.push_back(rules.sequence({rules.literal("-"), size}));
    }
    if (ways.empty()) return rules.never();
    return rules.alternatives(std::move(ways));
}

ExpressionId multiples(RuleSet& rules, std::uint32_t divisor) {
    // rest[r]: the digits that may follow when what is written leaves the remainder r.
    std::vector<ExpressionId> rest(divisor, rules.never());
    rest[0] = rules.empty();
    const auto digit_then = [&](std::uint32_t remainder, char first) {
        std::vector<ExpressionId> ways;
        for (char digit = first; digit <= '9'; ++digit) {
            const auto next = (remainder * 10 + static_cast<std::uint32_t>(digit - '0')) % divisor;
            ways.push_back(rules.sequence({rules.literal({&digit, 1}), rest[next]}));
        }
        return rules.alternatives(std::move(ways));
    };
    for (std::uint32_t left = 1; left < kMaxMultipleDigits; ++left) {
        std::vector<ExpressionId> longer;
        for (std::uint32_t r = 0; r < divisor; ++r) {
            const auto digit = digit_then(r, '0');
            const auto whole = r == 0 ? rules.optional(digit) : digit;
            longer.push_back(rules.shared("a multiple", whole));
        }
        rest = std::move(longer);
    }
    return rules.alternatives(
        {rules.literal("0"),
         rules.sequence({rules.optional(rules.literal("-")), digit_then(0, '1')})});
}

}  // namespace shoal::grammar
