// Names, numbers and strings as they are written in a template. Internal to this folder.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shoal::jinja {

struct Literal {
    std::size_t length = 0;  ///< 0 when no number is there
    bool real = false;
    std::string text;  ///< without underscores
};

/// The number that `text` begins with. Throws Failure for none.
Literal number_at(std::string_view text);

/// How many bytes at the beginning of `text` are an identifier.
std::size_t name_length(std::string_view text) noexcept;

/// How many bytes at the beginning of `text`, which is a quote, are a string; 0 when it does not
/// end.
std::size_t quoted_length(std::string_view text) noexcept;

/// The value of what stands between quotes. Throws Failure for an escape that is cut short or
/// names no code point.
std::string unescaped(std::string_view inside);

}  // namespace shoal::jinja
