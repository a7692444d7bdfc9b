// What Python's str knows of code points: case and classes, for all of Unicode, by the mappings
// of one code point to one. Of those to several, German sharp s is covered ("ß" -> "SS"); ligatures
// such as U+FB01 and Greek with iota subscript stay as they are. Title case is upper case.
#pragma once

namespace shoal::jinja::unicode {

char32_t lower(char32_t c) noexcept;
char32_t upper(char32_t c) noexcept;
bool is_lower(char32_t c) noexcept;
bool is_upper(char32_t c) noexcept;
bool is_cased(char32_t c) noexcept;
bool is_alphabetic(char32_t c) noexcept;
/// ASCII digits alone.
bool is_digit(char32_t c) noexcept;
bool is_space(char32_t c) noexcept;
/// One that Python's repr() shows as it is.
bool is_printable(char32_t c) noexcept;
/// One that str.splitlines() ends a line at.
bool is_line_end(char32_t c) noexcept;

}  // namespace shoal::jinja::unicode
