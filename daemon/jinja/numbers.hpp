// Numbers as Python computes, reads and prints them. Internal to this folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/jinja/value.hpp"

namespace shoal::jinja {

/// As repr(float): "1.0", "1e+16", "inf", "nan".
std::string real_text(double value);
/// With so many digits after the point, as format(value, ".2f").
std::string fixed_text(double value, int digits);

/// As int(text, base) and float(text) take it; nothing when they would raise ValueError. Throws
/// Failure when an integer is beyond 64 bits.
std::optional<std::int64_t> integer_in(std::string_view text, int base = 10);
std::optional<double> real_in(std::string_view text);
/// As int(float). Throws Failure when it is beyond 64 bits or no number.
std::int64_t truncated(double value);

// Each throws Failure for division by zero and for a result beyond 64 bits.
Value add_numbers(const Value& a, const Value& b);
Value subtract_numbers(const Value& a, const Value& b);
Value multiply_numbers(const Value& a, const Value& b);
Value divide_numbers(const Value& a, const Value& b);
Value floor_divide_numbers(const Value& a, const Value& b);
Value modulo_numbers(const Value& a, const Value& b);
Value power_numbers(const Value& a, const Value& b);
/// -1, 0 or 1; exact for every pair. A NaN equals everything here: see is_nan().
int order_of_numbers(const Value& a, const Value& b) noexcept;
bool is_nan(const Value& value) noexcept;

}  // namespace shoal::jinja
