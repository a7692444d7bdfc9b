// What somebody may have meant by a name that there is not.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace shoal::config {

/// Edits (insert, delete, replace a character) that turn one text into the other.
std::size_t edits_between(std::string_view a, std::string_view b);

/// The known name that a mistyped one was probably meant to be, or an empty text.
std::string_view nearest(std::string_view name, std::span<const std::string_view> known);

}  // namespace shoal::config
