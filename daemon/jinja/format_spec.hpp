// The specification of one field: fill, alignment, sign, width, precision, type. Internal to this
// folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

struct FormatSpec {
    std::string fill = " ";  ///< one code point
    char align = '\0';       ///< < > ^ = or none
    char sign = '-';         ///< - + or a blank
    bool alternate = false;  ///< 0x before hexadecimal numbers and so on
    char group = '\0';       ///< , or _ between thousands
    std::size_t width = 0;
    std::optional<int> precision;
    char type = '\0';
};

inline bool one_of(char c, std::string_view set) noexcept {
    return set.find(c) != set.npos;
}

/// What stands behind ":". Throws Failure for what is none.
FormatSpec parse_format_spec(std::string_view spec);

/// Appends the value so formatted.
void append_formatted(Run& run, Builder& out, const Value& value, const FormatSpec& spec);

/// A number of digits at `at`, which is moved behind them. Throws Failure beyond kMaxFormatWidth.
std::optional<std::size_t> read_width(std::string_view text, std::size_t& at);

}  // namespace shoal::jinja
