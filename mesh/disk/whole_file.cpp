#include "mesh/disk/whole_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace shoal::disk {

WholeFile::WholeFile(std::filesystem::path target, mode_t mode) : target_(std::move(target)) {
    // Not mkstemp: its files are for the owner's eyes only, whatever the umask says.
    constexpr int kAttempts = 16;
    std::random_device random;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        beside_ = target_.string() + '.' + std::to_string(random()) + ".tmp";
        fd_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd_ >= 0) return;
        if (errno != EEXIST) break;
    }
    fail("create a file beside", errno);
}

WholeFile::~WholeFile() {
    ::close(fd_);
    if (!beside_.empty()) ::unlink(beside_.c_str());
}

void WholeFile::append(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            fail("write", errno);
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

void WholeFile::replace() {
    flush();
    take_name();
    if (const int error = flush_folder(target_.parent_path())) fail("flush the folder of", error);
}

void WholeFile::take_name() {
    if (::rename(beside_.c_str(), target_.c_str()) != 0) fail("replace", errno);
    beside_.clear();
}

bool WholeFile::create() {
    flush();
    // rename() would overwrite what has the name; link() fails then.
    if (::link(beside_.c_str(), target_.c_str()) != 0) {
        if (errno == EEXIST) return false;
        fail("create", errno);
    }
    if (const int error = flush_folder(target_.parent_path())) fail("flush the folder of", error);
    return true;
}

void WholeFile::flush() {
    if (::fsync(fd_) != 0) fail("write", errno);
}

void WholeFile::fail(const char* what, int error) const {
    throw std::runtime_error(std::string("cannot ") + what + ' ' + target_.string() + ": " +
                             std::generic_category().message(error));
}

void replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    WholeFile file(path, mode);
    file.append(text);
    file.replace();
}

bool create_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    WholeFile file(path, mode);
    file.append(text);
    return file.create();
}

int flush_folder(const std::filesystem::path& folder) noexcept {
    const int fd =
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    // Some file systems cannot flush a folder and say EINVAL; there is nothing better to do.
    const int error = ::fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    ::close(fd);
    return error;
}

}  // namespace shoal::disk
