// Bytes as lower-case hexadecimal digits and back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace shoal::mesh::wire {

std::string to_hex(std::span<const std::uint8_t> bytes);

/// Fills `out` from exactly 2 * out.size() digits of either case. False, with `out` unspecified,
/// when `text` has another length or another character.
[[nodiscard]] bool from_hex(std::string_view text, std::span<std::uint8_t> out) noexcept;

}  // namespace shoal::mesh::wire
