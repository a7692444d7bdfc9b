// Dates as text. Internal to this folder.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace shoal::jinja {

/// As strftime() in the C locale, of a time that knows no zone. Throws Failure for a conversion
/// that is not known.
std::string date_text(std::string_view format, const std::tm& time);

}  // namespace shoal::jinja
