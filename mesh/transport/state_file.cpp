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

}  // namespace

void make_state_folder(const std::filesystem::path& folder) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        fail("make the state folder", folder, errno);
    }
}

std::optional<StateFile> read_state_file(const std::filesystem::path& path,
                                         std::size_t most_bytes) {
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
    file.text.resize(most_bytes + 1);
    std::size_t length = 0;
    while (length < file.text.size()) {
        const ssize_t n = ::read(fd.get(), file.text.data() + length, file.text.size() - length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("read", path, errno);
        if (n == 0) break;
        length += static_cast<std::size_t>(n);
    }
    if (length > most_bytes) {
        throw std::runtime_error(path.string() + " is longer than " + std::to_string(most_bytes) +
                                 " bytes; it is not a file of Shoal");
    }
    file.text.resize(length);
    return file;
}

}  // namespace shoal::mesh::transport
