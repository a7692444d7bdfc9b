// One daemon to a state folder.
#pragma once

#include <filesystem>

namespace shoal::mesh::transport {

/// Holds the folder as long as it lives. The system lets go of it when the process ends, however it
/// ends. Where a file system knows no locks (some of networks), nothing is held.
class StateLock {
  public:
    /// Makes the folder if it is not there.
    /// Throws std::runtime_error with the folder, and with the other process if it can be found,
    /// when another one holds it; with the path when the folder cannot be made or opened.
    explicit StateLock(const std::filesystem::path& folder);
    ~StateLock();
    StateLock(const StateLock&) = delete;
    StateLock& operator=(const StateLock&) = delete;

  private:
    int descriptor_;
};

}  // namespace shoal::mesh::transport
