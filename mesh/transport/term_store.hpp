// The highest term counter that this device ever claimed.
#pragma once

#include <cstdint>
#include <filesystem>

namespace shoal::mesh::transport {

/// The counter in `<state_dir>/term`; 0 when there is no such file.
/// Throws std::runtime_error with the path when it cannot be read or is damaged.
std::uint64_t load_term_counter(const std::filesystem::path& state_dir);

/// Stores it durably. False when that fails.
[[nodiscard]] bool store_term_counter(const std::filesystem::path& state_dir,
                                      std::uint64_t counter) noexcept;

}  // namespace shoal::mesh::transport
