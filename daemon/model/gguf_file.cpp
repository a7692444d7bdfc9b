#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>

#include "daemon/model/gguf.hpp"

namespace shoal::model {
namespace {

// Tensor data is used where it lies in the file, which is little-endian.
static_assert(std::endian::native == std::endian::little);

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what, int error) {
    throw ModelError(fmt::format("{}: cannot {} the model file: {}", path.string(), what,
                                 std::generic_category().message(error)));
}

struct Descriptor {
    int fd;
    explicit Descriptor(int number) noexcept : fd(number) {}
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

}  // namespace

struct GgufFile::Mapping {
    void* data = MAP_FAILED;
    std::size_t bytes = 0;

    Mapping() noexcept = default;
    ~Mapping() {
        if (data != MAP_FAILED) ::munmap(data, bytes);
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
};

GgufFile::GgufFile(const std::filesystem::path& path)
    : path_(path), mapping_(std::make_unique<Mapping>()) {
    // O_NONBLOCK: opening a FIFO by mistake must not wait for a writer.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.fd < 0) fail_errno(path, "open", errno);
    struct stat status {};
    if (::fstat(file.fd, &status) != 0) fail_errno(path, "examine", errno);
    if (!S_ISREG(status.st_mode)) {
        throw ModelError(path.string() + ": not a regular file, so it cannot be a model");
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0) throw ModelError(path.string() + ": the model file is empty");
    if (size > std::numeric_limits<std::size_t>::max() / 2) {
        throw ModelError(fmt::format("{}: {} bytes are more than this machine can address",
                                     path.string(), size));
    }
    mapping_->bytes = static_cast<std::size_t>(size);
    mapping_->data = ::mmap(nullptr, mapping_->bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    if (mapping_->data == MAP_FAILED) fail_errno(path, "map", errno);
    header_ = GgufHeader::parse(bytes(), size, path.string());
}

GgufFile::~GgufFile() = default;

std::span<const std::byte> GgufFile::bytes() const noexcept {
    return {static_cast<const std::byte*>(mapping_->data), mapping_->bytes};
}

std::span<const std::byte> GgufFile::data(const TensorInfo& info) const noexcept {
    return bytes().subspan(static_cast<std::size_t>(info.offset),
                           static_cast<std::size_t>(info.bytes));
}

}  // namespace shoal::model
