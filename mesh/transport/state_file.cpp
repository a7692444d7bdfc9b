#include "mesh/transport/state_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace shoal::mesh::transport {

namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path, int error) {
    throw std::runtime_error(std::string("cannot ") + what + " " + path.string() + ": " +
                             std::system_category().message(error));
}

/// A file descriptor that closes itself.
class Descriptor {
  public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const noexcept { return fd_; }

  private:
    int fd_;
};

/// A file beside `path`, written and flushed, that is deleted unless it was moved away.
class TemporaryFile {
  public:
    TemporaryFile(const std::filesystem::path& path, std::string_view text, mode_t mode)
        : name_(path.string() + ".XXXXXX") {
        const Descriptor fd(::mkostemp(name_.data(), O_CLOEXEC));
        if (fd.get() < 0) fail("create a file beside", path, errno);
        if (::fchmod(fd.get(), mode) != 0) discard_and_fail(path);
        while (!text.empty()) {
            const ssize_t n = ::write(fd.get(), text.data(), text.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) discard_and_fail(path);
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        if (::fsync(fd.get()) != 0) discard_and_fail(path);
    }
    ~TemporaryFile() {
        if (!name_.empty()) ::unlink(name_.c_str());
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    const char* name() const noexcept { return name_.c_str(); }
    void moved() noexcept { name_.clear(); }

  private:
    [[noreturn]] void discard_and_fail(const std::filesystem::path& path) {
        const int error = errno;
        ::unlink(name_.c_str());
        fail("write", path, error);
    }

    std::string name_;
};

/// A rename is durable only once its directory is.
void flush_directory_of(const std::filesystem::path& path) {
    const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) fail("open", folder, errno);
    // Some file systems cannot flush a directory and say EINVAL; there is nothing better to do.
    if (::fsync(fd.get()) != 0 && errno != EINVAL) fail("flush", folder, errno);
}

}  // namespace

void make_state_folder(const std::filesystem::path& folder) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        fail("make the state folder", folder, errno);
    }
}

std::optional<StateFile> read_state_file(const std::filesystem::path& path) {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd.get() < 0) {
        if (errno == ENOENT) return std::nullopt;
        fail("open", path, errno);
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) fail("inspect", path, errno);
    if (!S_ISREG(info.st_mode)) {
        throw std::runtime_error(path.string() + " is not a regular file");
    }
    StateFile file;
    file.mode = info.st_mode & 07777;
    file.text.resize(kMaxStateFileBytes + 1);
    std::size_t length = 0;
    while (length < file.text.size()) {
        const ssize_t n = ::read(fd.get(), file.text.data() + length, file.text.size() - length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("read", path, errno);
        if (n == 0) break;
        length += static_cast<std::size_t>(n);
    }
    if (length > kMaxStateFileBytes) {
        throw std::runtime_error(path.string() + " is longer than " +
                                 std::to_string(kMaxStateFileBytes) +
                                 " bytes; it is not a file of Shoal");
    }
    file.text.resize(length);
    return file;
}

void replace_state_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    TemporaryFile temporary(path, text, mode);
    if (::rename(temporary.name(), path.c_str()) != 0) fail("replace", path, errno);
    temporary.moved();
    flush_directory_of(path);
}

bool create_state_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    const TemporaryFile temporary(path, text, mode);
    // link() fails when the name is taken, which rename() would overwrite: of two processes that
    // create the file at once, one wins and the other learns of it.
    if (::link(temporary.name(), path.c_str()) != 0) {
        if (errno == EEXIST) return false;
        fail("create", path, errno);
    }
    flush_directory_of(path);
    return true;
}

}  // namespace shoal::mesh::transport
