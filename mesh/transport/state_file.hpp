// Small files that disk/whole_file.hpp writes: keys and counters.
#pragma once

#include <sys/types.h>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace shoal::mesh::transport {

/// No state file is longer but where its owner says so; a longer one is not ours.
inline constexpr std::size_t kMaxStateFileBytes = 4096;

struct StateFile {
    std::string text;
    mode_t mode = 0;  ///< permission bits
};

/// Makes the folder (mode 0700) if it is not there.
/// Throws std::runtime_error with the path when that fails.
void make_state_folder(const std::filesystem::path& folder);

/// The file's content, or nothing when it does not exist.
/// Throws std::runtime_error with the path when it cannot be read, is not a regular file or is
/// longer than `most_bytes`.
std::optional<StateFile> read_state_file(const std::filesystem::path& path,
                                         std::size_t most_bytes = kMaxStateFileBytes);

}  // namespace shoal::mesh::transport
