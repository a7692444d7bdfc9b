// Python's three ways to format: "%d" % x, "{}".format(x), and the specification behind ":".
// Internal to this folder.
#pragma once

#include <string_view>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// format % values.
Value percent_formatted(Run& run, const Value& format, const Value& values);
/// format.format(arguments).
Value brace_formatted(Run& run, const Value& format, const Arguments& arguments);

/// Characters that "{:>10}" and the like ask for. Throws Failure beyond.
inline constexpr std::int64_t kMaxFormatWidth = 100'000;

}  // namespace shoal::jinja
