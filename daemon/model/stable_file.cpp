#include "daemon/model/stable_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace shoal::model {
namespace {

std::string reason(int error) {
    return std::generic_category().message(error);
}

FileStamp stamp_of(const struct stat& info) noexcept {
    return {static_cast<std::uint64_t>(info.st_size),
            std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

void refuse_unless_plain(const std::filesystem::path& path, const struct stat& info) {
    if (S_ISREG(info.st_mode)) return;
    throw ModelError(path.string() + ": not a regular file, so it cannot be a model");
}

}  // namespace

FileStamp FileStamp::of(const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) throw ModelError(path.string() + ": " + reason(errno));
    refuse_unless_plain(path, info);
    return stamp_of(info);
}

StableFile::StableFile(std::filesystem::path path)
    : StableFile(std::move(path), std::make_shared<std::atomic<bool>>(false)) {}

StableFile::StableFile(std::filesystem::path path, std::shared_ptr<std::atomic<bool>> failed)
    : path_(std::move(path)), failed_(std::move(failed)) {
    // O_NONBLOCK: opening a FIFO by mistake must not wait for a writer.
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) {
        throw ModelError(
            fmt::format("{}: cannot open the model file: {}", path_.string(), reason(errno)));
    }
    try {
        struct stat info {};
        if (::fstat(fd_, &info) != 0) throw ModelError(path_.string() + ": " + reason(errno));
        refuse_unless_plain(path_, info);
        if (info.st_size == 0) throw ModelError(path_.string() + ": the model file is empty");
        stamp_ = stamp_of(info);
    } catch (...) {
        ::close(fd_);
        throw;
    }
}

StableFile::StableFile(std::filesystem::path path, const FileStamp& stamp) try
    : StableFile(std::move(path)) {
    if (stamp_ != stamp) fail("is not the file any more that it was");
} catch (const FileFailed&) {
    throw;
} catch (const ModelError& e) {
    throw FileFailed(e.what());
}

StableFile::~StableFile() {
    ::close(fd_);
}

void StableFile::fail(const std::string& what) const {
    *failed_ = true;
    throw FileFailed(path_.string() + ": " + what);
}

void StableFile::check() const {
    if (*failed_) fail("could not be read");
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail("cannot be read any more: " + reason(errno));
    if (stamp_of(info) != stamp_) {
        fail("was changed while it was in use; replace a model file by renaming a new one over it");
    }
}

void StableFile::read_some(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            fail(fmt::format("cannot be read at byte {}: {}; is its disk or card failing?", offset,
                             reason(errno)));
        }
        if (n == 0) fail(fmt::format("ends at byte {}: it was cut short", offset));
        offset += static_cast<std::uint64_t>(n);
        out = out.subspan(static_cast<std::size_t>(n));
    }
}

// Whoever writes to a file sets its time of change before its bytes.
void StableFile::read(std::uint64_t offset, std::span<std::byte> out) const {
    read_some(offset, out);
    check();
}

void StableFile::read(std::uint64_t offset, std::size_t stride, std::size_t width, std::size_t rows,
                      std::byte* out) const {
    if (stride == width) return read(offset, {out, rows * width});
    for (std::size_t r = 0; r < rows; ++r) {
        read_some(offset + r * stride, {out + r * width, width});
    }
    check();
}

void StableFile::expect(std::uint64_t offset, std::uint64_t bytes) const noexcept {
    // A wish; where the system cannot, reading takes longer.
    static_cast<void>(::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                                      POSIX_FADV_WILLNEED));
}

}  // namespace shoal::model
