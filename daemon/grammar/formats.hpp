// The values of JSON Schema's `format` that are honoured.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shoal::grammar {

/// The pattern of a format's texts; nothing for a format that is not known, which says nothing
/// about what is valid then.
std::optional<std::string> format_pattern(std::string_view format);

}  // namespace shoal::grammar
