#include <algorithm>
#include <bit>

#include "daemon/model/gguf.hpp"
#include "daemon/model/gguf_cursor.hpp"
#include "daemon/model/gguf_limits.hpp"

namespace shoal::model {
namespace {

// Tensor data is used as it lies in the file, which is little-endian.
static_assert(std::endian::native == std::endian::little);

// How much is read at first for a header whose length only parsing it tells.
constexpr std::uint64_t kFirstBytes = std::uint64_t{1} << 18;

std::vector<std::byte> beginning(const StableFile& file, std::uint64_t bytes) {
    std::vector<std::byte> out(static_cast<std::size_t>(bytes));
    file.read(0, out);
    return out;
}

std::uint64_t header_length(const StableFile& file) {
    const std::uint64_t all = std::min(file.stamp().bytes, limits::kMaxHeaderBytes);
    for (std::uint64_t bytes = std::min(kFirstBytes, all);; bytes = std::min(bytes * 4, all)) {
        try {
            return GgufHeader::parse(beginning(file, bytes), file.stamp().bytes,
                                     file.path().string())
                .header_bytes();
        } catch (const MoreNeeded&) {
            if (bytes == all) throw;
        }
    }
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path)
    : file_(path),
      header_bytes_(beginning(file_, header_length(file_))),
      header_(GgufHeader::parse(header_bytes_, file_.stamp().bytes, path.string())) {}

GgufFile::GgufFile(const std::filesystem::path& path, const FileStamp& stamp)
    : file_(path, stamp),
      header_bytes_(beginning(file_, header_length(file_))),
      header_(GgufHeader::parse(header_bytes_, file_.stamp().bytes, path.string())) {}

std::vector<std::byte> GgufFile::data(const TensorInfo& info) const {
    std::vector<std::byte> out(static_cast<std::size_t>(info.bytes));
    file_.read(info.offset, out);
    return out;
}

}  // namespace shoal::model
