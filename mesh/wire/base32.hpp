// Bytes as Crockford's base 32, for texts that people copy.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::mesh::wire {

/// Lower-case digits without I, L, O and U, which are misread; the last one is filled with zeros.
std::string to_base32(std::span<const std::uint8_t> bytes);

/// What a text of digits says: either case, O for 0, I and L for 1; "-" and white space are
/// skipped.
struct Base32 {
    std::vector<std::uint8_t> bytes;  ///< whole ones
    std::size_t digits = 0;           ///< more than the limit: only as far as it reached
    bool strange = false;             ///< there is something else; it was read up to that
    bool padded = true;               ///< what the last digit has behind the last byte is zero
};
/// Reads at most `max_digits` and looks at one more.
Base32 from_base32(std::string_view text, std::size_t max_digits);

}  // namespace shoal::mesh::wire
