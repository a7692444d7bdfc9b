// Bytes for tests.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace shoal::mesh::testing {

inline std::vector<std::byte> bytes(std::string_view text) {
    const auto view = std::as_bytes(std::span(text));
    return {view.begin(), view.end()};
}

inline std::vector<std::byte> from_hex(std::string_view digits) {
    const auto value = [](char digit) {
        const auto at = std::string_view("0123456789abcdef").find(digit);
        if (at == std::string_view::npos) throw std::invalid_argument("no hexadecimal digit");
        return static_cast<unsigned>(at);
    };
    std::vector<std::byte> out;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        out.push_back(static_cast<std::byte>(value(digits[i]) << 4 | value(digits[i + 1])));
    }
    return out;
}

inline std::vector<std::byte> flipped(std::span<const std::byte> from, std::size_t bit) {
    std::vector<std::byte> out(from.begin(), from.end());
    out[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    return out;
}

inline void append(std::vector<std::byte>& to, std::span<const std::byte> more) {
    to.insert(to.end(), more.begin(), more.end());
}

}  // namespace shoal::mesh::testing
