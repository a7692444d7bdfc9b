// One step through bytes that ought to be UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shoal::model {

/// The character, or the piece of a broken one, at the beginning of some bytes.
struct Utf8Step {
    enum class Kind : std::uint8_t {
        valid,       ///< a whole character
        invalid,     ///< a maximal subpart of an ill-formed sequence: stands for one U+FFFD
        incomplete,  ///< the bytes end within a character that is well-formed so far
    };
    std::uint8_t size;  ///< bytes it takes, 1 to 4
    Kind kind;
};

/// Requires: `bytes` is not empty.
/// Source: The Unicode Standard, table 3-7 and section 3.9, "substitution of maximal subparts".
Utf8Step utf8_step(std::string_view bytes) noexcept;

/// How many bytes at the beginning of `bytes` are well-formed UTF-8.
std::size_t valid_utf8_prefix(std::string_view bytes) noexcept;

/// True for a byte that no character has but at its beginning, and for those of no character.
constexpr bool begins_character(char byte) noexcept {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

/// As much of the beginning of `bytes` as `limit` allows without cutting a character. Requires:
/// limit >= 4.
std::string_view utf8_prefix(std::string_view bytes, std::size_t limit) noexcept;

}  // namespace shoal::model
