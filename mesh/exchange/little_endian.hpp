// Unsigned integers in a fixed place of a frame, little-endian.
#pragma once

#include <concepts>
#include <cstddef>

namespace shoal::mesh::exchange {

/// Requires: `out` has sizeof(T) bytes.
template <std::unsigned_integral T>
void put(std::byte* out, T value) noexcept {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        out[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
    }
}

/// Requires: `in` has sizeof(T) bytes.
template <std::unsigned_integral T>
T get(const std::byte* in) noexcept {
    T value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) {
        value = static_cast<T>(value << 8 | std::to_integer<T>(in[i]));
    }
    return value;
}

}  // namespace shoal::mesh::exchange
