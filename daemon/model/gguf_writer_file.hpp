// A file that appears complete or not at all. Internal to this folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace shoal::model {

/// Writes into a temporary file beside the target; commit() renames it over the target.
/// Destroyed without commit(), it removes the temporary file. Owned by one thread.
class ReplacementFile {
  public:
    /// Throws ModelError when the temporary file cannot be made.
    explicit ReplacementFile(std::filesystem::path target);
    ~ReplacementFile();
    ReplacementFile(const ReplacementFile&) = delete;
    ReplacementFile& operator=(const ReplacementFile&) = delete;

    /// Throws ModelError when the disk is full or fails.
    void append(std::span<const std::byte> bytes);
    /// Throws ModelError when the file cannot be brought to the disk or renamed.
    void commit();

  private:
    [[noreturn]] void fail(const char* what, int error) const;
    void close() noexcept;

    std::filesystem::path target_;
    std::string temporary_;
    int fd_ = -1;
};

}  // namespace shoal::model
