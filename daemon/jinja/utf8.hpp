// Code points in bytes. What is not UTF-8 is kept out by valid() and repaired(); the rest takes
// valid bytes and positions at the beginning of a code point.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shoal::jinja::utf8 {

bool valid(std::string_view bytes) noexcept;
/// With U+FFFD for every byte that belongs to no code point.
std::string repaired(std::string bytes);

/// How many code points there are.
std::size_t count(std::string_view text) noexcept;
/// How many bytes the code point at `position` takes.
std::size_t length_at(std::string_view text, std::size_t position) noexcept;
char32_t at(std::string_view text, std::size_t position) noexcept;
/// Where the code point before `position` begins; `position` is not 0.
std::size_t before(std::string_view text, std::size_t position) noexcept;
/// Where the code point number `index` begins, counted from `from`; the end when there are fewer.
std::size_t offset_of(std::string_view text, std::size_t index, std::size_t from = 0) noexcept;

/// `code_point` is no surrogate and at most U+10FFFF.
void append(std::string& out, char32_t code_point);

}  // namespace shoal::jinja::utf8
