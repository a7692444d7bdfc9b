// Payloads that tell who sent them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace shoal::mesh::testing {

/// Bytes that tell who sent them, when, and in which order.
inline std::vector<std::byte> pattern(std::uint32_t rank, std::uint64_t step, std::size_t size) {
    std::vector<std::byte> bytes(size);
    const auto seed = static_cast<std::uint32_t>(step * 2654435761u + rank * 40503u + 17);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>((seed + i * 131u) >> (i % 3 * 4));
    }
    return bytes;
}

inline void expect(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
}
inline void expect_pattern(std::span<const std::byte> got, std::uint32_t rank, std::uint64_t step,
                           std::size_t size) {
    const auto want = pattern(rank, step, size);
    if (got.size() == want.size() && std::equal(want.begin(), want.end(), got.begin())) return;
    throw std::runtime_error("wrong payload of rank " + std::to_string(rank) + " at step " +
                             std::to_string(step) + ": " + std::to_string(got.size()) +
                             " bytes, expected " + std::to_string(size));
}

}  // namespace shoal::mesh::testing
