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

/// What one rank sends another in an all-to-all: who sends, and to whom, as one number.
inline std::uint32_t way(std::uint32_t from, std::uint32_t to) {
    return from * 1024 + to;
}
/// The parts of a rank, and views of them; part r has size_to(r) bytes.
struct Parts {
    template <typename SizeTo>
    Parts(std::uint32_t rank, std::uint32_t size, std::uint64_t step, const SizeTo& size_to) {
        for (std::uint32_t r = 0; r < size; ++r) {
            bytes.push_back(pattern(way(rank, r), step, size_to(r)));
        }
        views.assign(bytes.begin(), bytes.end());
    }
    std::vector<std::vector<std::byte>> bytes;
    std::vector<std::span<const std::byte>> views;
};

}  // namespace shoal::mesh::testing
