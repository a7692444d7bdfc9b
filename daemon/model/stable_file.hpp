// A file that is read while others may write to it, cut it short or take its card away.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>

namespace shoal::model {

/// A model file that cannot be used: names the file, the field and, for a damaged file, the offset.
class ModelError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A file of this device that was good and is not any more: it was changed in place, cut short or
/// cannot be read. Another device's copy may well be.
class FileFailed : public ModelError {
  public:
    using ModelError::ModelError;
};

/// Length and time of change of a file: what is the same while its content is.
struct FileStamp {
    std::uint64_t bytes = 0;
    std::int64_t changed = 0;  ///< nanoseconds
    bool operator==(const FileStamp&) const = default;

    /// Of a plain file. Throws ModelError when there is none. Never waits for a pipe's writer.
    static FileStamp of(const std::filesystem::path& path);
};

/// Read with system calls, not from a mapping: what was written in place under a mapping would be
/// computed with unseen, and reading one beyond a new end, or on a card that fails, would end the
/// process (SIGBUS). A renamed or removed file stays readable while it is open.
/// Immutable and thread-safe after construction.
class StableFile {
  public:
    /// Throws ModelError when it cannot be opened or is no plain file with something in it.
    explicit StableFile(std::filesystem::path path);
    /// The same; throws FileFailed when the file is not the one that had this stamp, or gone.
    StableFile(std::filesystem::path path, const FileStamp& stamp);
    /// One of several that have failed when one of them has.
    StableFile(std::filesystem::path path, std::shared_ptr<std::atomic<bool>> failed);
    ~StableFile();
    StableFile(const StableFile&) = delete;
    StableFile& operator=(const StableFile&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }
    const FileStamp& stamp() const noexcept { return stamp_; }

    /// Reads all of `out`. Throws FileFailed when that cannot be done, or when the file is not
    /// what it was when it was opened, before or after: what was read is then not to be used.
    void read(std::uint64_t offset, std::span<std::byte> out) const;
    /// `rows` runs of `width` bytes, `stride` bytes apart, one behind another. Throws as read().
    void read(std::uint64_t offset, std::size_t stride, std::size_t width, std::size_t rows,
              std::byte* out) const;
    /// Throws FileFailed when the file is not what it was when it was opened, or could not be read.
    void check() const;
    /// These bytes are about to be read: has the disk begin.
    void expect(std::uint64_t offset, std::uint64_t bytes) const noexcept;

    /// True from the first FileFailed on. Outlives the file.
    std::shared_ptr<const std::atomic<bool>> failed() const noexcept { return failed_; }

  private:
    void read_some(std::uint64_t offset, std::span<std::byte> out) const;
    [[noreturn]] void fail(const std::string& what) const;

    const std::filesystem::path path_;
    const std::shared_ptr<std::atomic<bool>> failed_;
    int fd_ = -1;
    FileStamp stamp_;
};

}  // namespace shoal::model
