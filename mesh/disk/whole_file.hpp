// Files that hold their old content or the new one, whole, whatever happens meanwhile.
#pragma once

#include <sys/types.h>
#include <filesystem>
#include <string>
#include <string_view>

namespace shoal::disk {

/// A file's new content, written beside it. It takes the name once all of it is on the disk, and
/// the name is there once its folder is: so a power cut leaves the old file or the new one.
/// Destroyed before that, it is removed. Owned by one thread.
/// Everything throws std::runtime_error with the path and the reason when the disk does not do it.
class WholeFile {
  public:
    /// `mode`: permission bits, of which the umask takes some away.
    WholeFile(std::filesystem::path target, mode_t mode);
    ~WholeFile();
    WholeFile(const WholeFile&) = delete;
    WholeFile& operator=(const WholeFile&) = delete;

    void append(std::string_view bytes);
    /// Takes the name, from whatever has it.
    void replace();
    /// The same without waiting for the disk: after a power cut the name may stand for anything.
    void take_name();
    /// Takes the name if nothing has it: of two that do so at once one gets it, and the other
    /// false.
    [[nodiscard]] bool create();

  private:
    [[noreturn]] void fail(const char* what, int error) const;
    void flush();

    const std::filesystem::path target_;
    std::string beside_;
    int fd_ = -1;
};

/// Replaces a file, or makes it. Throws as WholeFile.
void replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode);
/// Makes a file. False, with nothing changed, when there is one. Throws as WholeFile.
[[nodiscard]] bool create_file(const std::filesystem::path& path, std::string_view text,
                               mode_t mode);

/// Puts the names of a folder's files on the disk, where the file system can. 0, or why not.
int flush_folder(const std::filesystem::path& folder) noexcept;

}  // namespace shoal::disk
