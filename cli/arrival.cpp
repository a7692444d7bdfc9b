#include "cli/arrival.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"
#include "mesh/disk/whole_file.hpp"

namespace shoal::cli {
namespace {

namespace fs = std::filesystem;

/// Between two reports of progress.
constexpr std::size_t kPart = std::size_t{16} << 20;
/// Not a name of a model, so that no daemon reads it.
constexpr const char* kBeside = ".shoal-add-";

std::string shown(const fs::path& path) {
    return one_line(path.string());
}

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
    const std::string hint =
        error == EACCES || error == EPERM
            ? "; members of the group of that folder may, or its owner with sudo"
            : "";
    throw Error(kFailed,
                fmt::format("{}: {}: {}{}", shown(path), what, std::strerror(error), hint));
}

class Descriptor {
  public:
    explicit Descriptor(int value) noexcept : value_(value) {}
    ~Descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const noexcept { return value_; }

  private:
    int value_;
};

/// A file beside those that it will be one of; gone at the end unless it was renamed. Its lock says
/// that somebody is at work on it.
class Beside {
  public:
    explicit Beside(const fs::path& folder) : path_(folder / (std::string(kBeside) + "XXXXXX")) {
        value_ = ::mkostemp(path_.data(), O_CLOEXEC);
        if (value_ < 0) fail(folder, "a file cannot be made there", errno);
        ::flock(value_, LOCK_EX | LOCK_NB);
    }
    ~Beside() {
        ::close(value_);
        if (!renamed_) ::unlink(path_.c_str());
    }
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;
    int get() const noexcept { return value_; }
    const std::string& path() const noexcept { return path_; }
    void renamed() noexcept { renamed_ = true; }

  private:
    std::string path_;
    int value_ = -1;
    bool renamed_ = false;
};

/// Never over a file that is there. False when there is one.
bool rename_to_new(const fs::path& from, const fs::path& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
        return true;
    }
    if (errno == EINVAL) {  // A file system that does not know it.
        std::error_code error;
        if (fs::exists(fs::symlink_status(to, error))) return false;
        if (::rename(from.c_str(), to.c_str()) == 0) return true;
    }
    if (errno == EEXIST) return false;
    fail(to, "cannot be renamed into place", errno);
}

[[noreturn]] void is_there(const fs::path& to) {
    throw Error(kFailed, fmt::format("{} is there already; remove it first, with `shoal rm`, or "
                                     "give the new one another name",
                                     shown(to)));
}

/// What one call copied; 0 at the end. Throws Error.
std::size_t copy_part(const fs::path& from, const Descriptor& in, const fs::path& to, int out) {
    const ssize_t copied = ::copy_file_range(in.get(), nullptr, out, nullptr, kPart, 0);
    if (copied >= 0) return static_cast<std::size_t>(copied);
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
        fail(to, "cannot be written", errno);
    }
    std::vector<char> buffer(std::size_t{1} << 20);
    const ssize_t bytes = ::read(in.get(), buffer.data(), buffer.size());
    if (bytes < 0) fail(from, "cannot be read", errno);
    for (ssize_t at = 0; at < bytes;) {
        const ssize_t written =
            ::write(out, buffer.data() + at, static_cast<std::size_t>(bytes - at));
        if (written < 0) fail(to, "cannot be written", errno);
        at += written;
    }
    return static_cast<std::size_t>(bytes);
}

/// The daemon is another user, of the folder's group. What we may not change stays as it is.
void let_group_read(const fs::path& file, const fs::path& folder) {
    struct stat info {};
    struct stat its {};
    if (::stat(file.c_str(), &info) != 0 || ::stat(folder.c_str(), &its) != 0) return;
    if (info.st_gid != its.st_gid) {
        [[maybe_unused]] const int given =
            ::lchown(file.c_str(), static_cast<uid_t>(-1), its.st_gid);
    }
    ::chmod(file.c_str(), (info.st_mode & 07777) | S_IRGRP);
}

}  // namespace

void refuse_if_there(const fs::path& path) {
    std::error_code error;
    if (fs::exists(fs::symlink_status(path, error))) is_there(path);
}

void remove_leftovers(const fs::path& folder) noexcept try {
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!entry.path().filename().string().starts_with(kBeside)) continue;
        const Descriptor file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
            ::unlink(entry.path().c_str());
        }
    }
} catch (const std::exception&) {
    // They cost room, no more.
}

Arrival::~Arrival() {
    if (kept_) return;
    // What was moved here is nowhere else: it stays where it cannot go back, or its place is taken.
    for (const auto& [from, to] : renamed_) {
        ::renameat2(AT_FDCWD, to.c_str(), AT_FDCWD, from.c_str(), RENAME_NOREPLACE);
        std::erase(brought_, to);
    }
    for (const fs::path& path : brought_) ::unlink(path.c_str());
}

void Arrival::bring(const std::vector<fs::path>& files, Transfer how, const Progress& progress) {
    std::vector<std::uint64_t> sizes;
    std::uint64_t total = 0;
    for (const fs::path& file : files) {
        std::error_code error;
        total += sizes.emplace_back(fs::file_size(file, error));
        if (error) fail(file, "cannot be read", error.value());
    }
    std::uint64_t before = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        bring(files[i], how, progress, before, total);
        before += sizes[i];
    }
    if (const int error = disk::flush_folder(folder_); error != 0) {
        fail(folder_, "cannot be written", error);
    }
}

void Arrival::bring(const fs::path& from, Transfer how, const Progress& progress,
                    std::uint64_t before, std::uint64_t total) {
    const fs::path to = folder_ / from.filename();
    if (how == Transfer::link) {
        if (::symlink(fs::canonical(from).c_str(), to.c_str()) != 0) {
            if (errno == EEXIST) is_there(to);
            fail(to, "cannot be made", errno);
        }
        brought_.push_back(to);
        return;
    }
    // The file itself, not a link to it.
    if (how == Transfer::move && !fs::is_symlink(from)) {
        if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
            renamed_.emplace_back(from, to);
            let_group_read(to, folder_);
            brought_.push_back(to);
            return;
        }
        if (errno == EEXIST) is_there(to);
    }
    copy(from, to, progress, before, total);
    if (how == Transfer::move) sources_.push_back(from);
}

void Arrival::copy(const fs::path& from, const fs::path& to, const Progress& progress,
                   std::uint64_t before, std::uint64_t total) {
    refuse_if_there(to);
    const Descriptor in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
    if (in.get() < 0) fail(from, "cannot be opened", errno);
    Beside beside(folder_);
    // Where the file system can, both have the same bytes and nothing is copied.
    if (::ioctl(beside.get(), FICLONE, in.get()) != 0) {
        struct statvfs room {};
        if (::statvfs(folder_.c_str(), &room) == 0) {
            const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
            const std::uint64_t needed = total - before;
            if (needed > free) {
                throw Error(kFailed,
                            fmt::format("{}: there is room for {}, and {} are needed; make room, "
                                        "or leave the file where it is with --link",
                                        shown(folder_), bytes_text(free), bytes_text(needed)));
            }
        }
        for (std::uint64_t done = 0;;) {
            progress(before + done, total);
            const std::size_t part = copy_part(from, in, to, beside.get());
            if (part == 0) break;
            done += part;
        }
    }
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::fchmod(beside.get(), (0666 & ~mask) | S_IRGRP);
    if (::fsync(beside.get()) != 0) fail(to, "cannot be written", errno);
    if (!rename_to_new(beside.path(), to)) is_there(to);
    beside.renamed();
    brought_.push_back(to);
}

void Arrival::adopt(const fs::path& file, const std::string& name) {
    const fs::path to = folder_ / name;
    let_group_read(file, folder_);
    if (!rename_to_new(file, to)) is_there(to);
    brought_.push_back(to);
    if (const int error = disk::flush_folder(folder_); error != 0) {
        fail(folder_, "cannot be written", error);
    }
}

void Arrival::keep() {
    kept_ = true;
    for (const fs::path& source : sources_) {
        if (::unlink(source.c_str()) != 0) {
            fail(source, "was copied, and cannot be removed", errno);
        }
    }
}

}  // namespace shoal::cli
