#include "daemon/jinja/numbers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

[[noreturn]] void overflow() {
    fail("an integer is beyond 64 bits");
}

Value checked(bool overflows, std::int64_t result) {
    if (overflows) overflow();
    return Value::integer(result);
}

bool both_integral(const Value& a, const Value& b) noexcept {
    return a.is_integral() && b.is_integral();
}

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && unicode::is_space(utf8::at(text, 0))) {
        text.remove_prefix(utf8::length_at(text, 0));
    }
    while (!text.empty()) {
        const std::size_t last = utf8::before(text, text.size());
        if (!unicode::is_space(utf8::at(text, last))) break;
        text = text.substr(0, last);
    }
    return text;
}

/// Without the single underscores that Python allows between digits; nothing when there are others.
std::optional<std::string> without_underscores(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '_') {
            out.push_back(text[i]);
            continue;
        }
        const auto alphanumeric = [](char c) {
            return std::isalnum(static_cast<unsigned char>(c));
        };
        if (i == 0 || i + 1 == text.size() || !alphanumeric(text[i - 1]) ||
            !alphanumeric(text[i + 1])) {
            return std::nullopt;
        }
    }
    return out;
}

/// The digits of the shortest decimal that reads back as the value, and its exponent.
struct Decimal {
    std::string digits;
    int exponent;
};

Decimal shortest(double value) {
    char buffer[40];
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
    const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
    const std::size_t e = text.find('e');
    Decimal out{{}, std::atoi(std::string(text.substr(e + 1)).c_str())};
    for (const char c : text.substr(0, e)) {
        if (c != '.') out.digits.push_back(c);
    }
    return out;
}

}  // namespace

std::string real_text(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    std::string out = std::signbit(value) ? "-" : "";
    Decimal decimal = shortest(std::fabs(value));
    const int size = static_cast<int>(decimal.digits.size());
    if (decimal.exponent < -4 || decimal.exponent >= 16) {
        out += decimal.digits[0];
        if (size > 1) out.append(".").append(decimal.digits, 1);
        char exponent[8];
        std::snprintf(exponent, sizeof exponent, "e%+03d", decimal.exponent);
        return out + exponent;
    }
    if (decimal.exponent < 0) {
        out.append("0.").append(static_cast<std::size_t>(-decimal.exponent - 1), '0');
        return out + decimal.digits;
    }
    const auto whole = static_cast<std::size_t>(decimal.exponent) + 1;
    if (decimal.digits.size() < whole + 1) decimal.digits.resize(whole + 1, '0');
    return out.append(decimal.digits, 0, whole).append(".").append(decimal.digits, whole);
}

std::string fixed_text(double value, int digits) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    // The largest double has 309 digits before the point.
    std::string out(static_cast<std::size_t>(std::clamp(digits, 0, 1000)) + 330, '\0');
    const auto end = std::to_chars(out.data(), out.data() + out.size(), value,
                                   std::chars_format::fixed, std::clamp(digits, 0, 1000));
    out.resize(static_cast<std::size_t>(end.ptr - out.data()));
    return out;
}

std::optional<std::int64_t> integer_in(std::string_view text, int base) {
    text = trimmed(text);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    if (text.size() > 2 && text[0] == '0') {
        const int letter = text[1] | 0x20;
        const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
        if (named != 0 && (base == named || base == 0)) {
            text.remove_prefix(text[2] == '_' ? 3 : 2);
            base = named;
        }
    }
    if (base == 0) base = 10;
    if (base < 2 || base > 36) return std::nullopt;
    const auto digits = without_underscores(text);
    if (!digits || digits->empty() || !std::isalnum(static_cast<unsigned char>((*digits)[0]))) {
        return std::nullopt;
    }
    const std::string whole = (negative ? "-" : "") + *digits;
    std::int64_t value = 0;
    const auto [end, error] =
        std::from_chars(whole.data(), whole.data() + whole.size(), value, base);
    if (end != whole.data() + whole.size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) overflow();
    if (error != std::errc()) return std::nullopt;
    return value;
}

std::optional<double> real_in(std::string_view text) {
    auto digits = without_underscores(trimmed(text));
    if (!digits || digits->empty()) return std::nullopt;
    // from_chars takes no "+", and "inf" and "nan" as Python does.
    std::string_view rest = *digits;
    if (rest.starts_with('+') && rest.size() > 1 && rest[1] != '-') rest.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (end != rest.data() + rest.size() || rest.ends_with(')')) return std::nullopt;
    if (error == std::errc::result_out_of_range)
        return std::strtod(std::string(rest).c_str(), nullptr);
    if (error != std::errc()) return std::nullopt;
    return value;
}

std::int64_t truncated(double value) {
    if (std::isnan(value)) fail("cannot convert float NaN to integer");
    const double whole = std::trunc(value);
    if (!(whole >= -0x1p63 && whole < 0x1p63)) overflow();
    return static_cast<std::int64_t>(whole);
}

Value add_numbers(const Value& a, const Value& b) {
    if (!both_integral(a, b)) return Value::real(a.as_number() + b.as_number());
    std::int64_t out = 0;
    const bool over = __builtin_add_overflow(a.as_integer(), b.as_integer(), &out);
    return checked(over, out);
}

Value subtract_numbers(const Value& a, const Value& b) {
    if (!both_integral(a, b)) return Value::real(a.as_number() - b.as_number());
    std::int64_t out = 0;
    const bool over = __builtin_sub_overflow(a.as_integer(), b.as_integer(), &out);
    return checked(over, out);
}

Value multiply_numbers(const Value& a, const Value& b) {
    if (!both_integral(a, b)) return Value::real(a.as_number() * b.as_number());
    std::int64_t out = 0;
    const bool over = __builtin_mul_overflow(a.as_integer(), b.as_integer(), &out);
    return checked(over, out);
}

Value divide_numbers(const Value& a, const Value& b) {
    if (b.as_number() == 0) fail("division by zero");
    return Value::real(a.as_number() / b.as_number());
}

Value floor_divide_numbers(const Value& a, const Value& b) {
    if (b.as_number() == 0) fail("integer division or modulo by zero");
    if (!both_integral(a, b)) {
        const double x = a.as_number(), y = b.as_number();
        const double remainder = modulo_numbers(a, b).as_real();
        const double quotient = (x - remainder) / y;
        const double floor = std::floor(quotient);
        return Value::real(quotient - floor > 0.5 ? floor + 1 : floor);
    }
    const std::int64_t x = a.as_integer(), y = b.as_integer();
    if (x == INT64_MIN && y == -1) overflow();
    return Value::integer(x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0));
}

Value modulo_numbers(const Value& a, const Value& b) {
    if (b.as_number() == 0) fail("integer division or modulo by zero");
    if (!both_integral(a, b)) {
        const double y = b.as_number();
        double out = std::fmod(a.as_number(), y);
        // The result has the divisor's sign.
        if (out != 0 && (out < 0) != (y < 0)) out += y;
        if (out == 0) out = std::copysign(0.0, y);
        return Value::real(out);
    }
    const std::int64_t x = a.as_integer(), y = b.as_integer();
    if (y == -1) return Value::integer(0);
    const std::int64_t out = x % y;
    return Value::integer(out != 0 && (out < 0) != (y < 0) ? out + y : out);
}

Value power_numbers(const Value& a, const Value& b) {
    if (a.as_number() == 0 && b.as_number() < 0) {
        fail("0.0 cannot be raised to a negative power");
    }
    if (!both_integral(a, b) || b.as_integer() < 0) {
        if (a.as_number() < 0 && std::trunc(b.as_number()) != b.as_number()) {
            fail("a negative number has no real power of a fraction");
        }
        const double out = std::pow(a.as_number(), b.as_number());
        if (std::isinf(out) && std::isfinite(a.as_number()) && std::isfinite(b.as_number())) {
            fail("a power is too large for a float");
        }
        return Value::real(out);
    }
    std::int64_t out = 1, square = a.as_integer();
    for (std::int64_t rest = b.as_integer(); rest > 0; rest /= 2) {
        if (rest % 2 != 0 && __builtin_mul_overflow(out, square, &out)) overflow();
        if (rest > 1 && __builtin_mul_overflow(square, square, &square)) overflow();
    }
    return Value::integer(out);
}

int order_of_numbers(const Value& a, const Value& b) noexcept {
    const auto order = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
    if (both_integral(a, b)) return order(a.as_integer(), b.as_integer());
    if (!a.is_integral() && !b.is_integral()) return order(a.as_real(), b.as_real());
    if (!a.is_integral()) return -order_of_numbers(b, a);
    // An integer and a double: a double of 2^63 or more is beyond every integer, and below that
    // the whole parts compare as integers.
    const double y = b.as_real();
    if (std::isnan(y)) return 0;
    if (y >= 0x1p63) return -1;
    if (y < -0x1p63) return 1;
    const double whole = std::trunc(y);
    const int by_whole = order(a.as_integer(), static_cast<std::int64_t>(whole));
    return by_whole != 0 ? by_whole : order(whole, y);
}

bool is_nan(const Value& value) noexcept {
    return value.is(Value::Kind::real) && std::isnan(value.as_real());
}

}  // namespace shoal::jinja
