#include "daemon/model/gguf_writer_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

ReplacementFile::ReplacementFile(std::filesystem::path target) : target_(std::move(target)) {
    // Not mkstemp: its files are for the owner's eyes only, whatever the umask says.
    constexpr int kAttempts = 16;
    std::random_device random;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        temporary_ = fmt::format("{}.{:08x}.tmp", target_.string(), random());
        fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd_ >= 0 || errno != EEXIST) break;
    }
    if (fd_ < 0) fail("create", errno);
}

ReplacementFile::~ReplacementFile() {
    if (fd_ < 0) return;
    close();
    ::unlink(temporary_.c_str());
}

void ReplacementFile::append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            fail("write", errno);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

void ReplacementFile::commit() {
    if (::fsync(fd_) != 0) fail("write", errno);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("rename", errno);
    close();
    // The new name is on the disk only when its directory is. A file system that cannot sync
    // directories has kept its promise as well as it can, so the result does not matter.
    const std::filesystem::path parent = target_.parent_path();
    const int directory =
        ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    ::fsync(directory);
    ::close(directory);
}

void ReplacementFile::fail(const char* what, int error) const {
    throw ModelError(fmt::format("{}: cannot {} {}: {}", target_.string(), what, temporary_,
                                 std::generic_category().message(error)));
}

void ReplacementFile::close() noexcept {
    ::close(fd_);
    fd_ = -1;
}

}  // namespace shoal::model
