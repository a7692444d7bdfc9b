// A cluster key that somebody put on the boot partition of an SD card, for a board that nobody
// will sit at.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace shoal {

/// Makes the first of `places` that is a file this device's cluster key, `key_path`, if it has none
/// yet, and erases it there: overwritten and deleted, as soon as the key is stored. The key belongs
/// to the owner of its folder, whoever runs this. Says in the log what was done and what was not; a
/// place that it cannot use changes nothing.
void take_boot_key(const std::vector<std::string>& places, const std::filesystem::path& key_path);

}  // namespace shoal
