// The alphabet of byte-level vocabularies: a printable character for every byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shoal::model {

/// The character, in UTF-8, that stands for a byte in tokens and merges.
/// Source: GPT-2's encoder.py, bytes_to_unicode(): printable Latin-1 stands for itself, the other
/// bytes for U+0100 onwards in order.
std::string_view byte_to_letter(unsigned char byte) noexcept;

/// The bytes that a token spells; nothing when it holds a character that stands for no byte.
std::optional<std::string> letters_to_bytes(std::string_view letters);

}  // namespace shoal::model
