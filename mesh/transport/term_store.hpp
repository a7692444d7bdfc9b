// The highest term counter that this device ever claimed.
#pragma once

#include <cstdint>
#include <filesystem>

namespace shoal::mesh::transport {

/// The counter in `<state_dir>/term`; 0 when there is no such file.
/// Throws std::runtime_error with the path when it cannot be read or is damaged.
std::uint64_t load_term_counter(const std::filesystem::path& state_dir);

/// Stores it durably. Throws std::runtime_error with path and reason when that fails.
void store_term_counter(const std::filesystem::path& state_dir, std::uint64_t counter);

}  // namespace shoal::mesh::transport
