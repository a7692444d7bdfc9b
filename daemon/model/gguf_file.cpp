#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>
#include <system_error>
#include <utility>

#include "daemon/model/gguf.hpp"
#include "daemon/model/gguf_cursor.hpp"
#include "daemon/model/gguf_limits.hpp"
#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/split.hpp"

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

// The file from its start to its first tensor.
std::vector<std::byte> header_of(const StableFile& file) {
    const std::uint64_t all = std::min(file.stamp().bytes, limits::kMaxHeaderBytes);
    for (std::uint64_t bytes = std::min(kFirstBytes, all);; bytes = std::min(bytes * 4, all)) {
        try {
            return beginning(file, GgufHeader::parse(beginning(file, bytes), file.stamp().bytes,
                                                     file.path().string())
                                       .header_bytes());
        } catch (const MoreNeeded&) {
            if (bytes == all) throw;
        }
    }
}

std::vector<std::unique_ptr<const StableFile>> open_files(const std::filesystem::path& path) {
    const std::vector<std::filesystem::path> paths = model_files(path);
    if (paths.size() > kMaxParts) {
        throw ModelError(
            fmt::format("{}: of more than {} parts; put some together with "
                        "llama-gguf-split --merge",
                        path.string(), kMaxParts));
    }
    for (std::size_t i = 0; i < paths.size() && paths.size() > 1; ++i) {
        std::error_code error;
        if (std::filesystem::exists(paths[i], error) || error) continue;
        throw ModelError(
            fmt::format("{}: part {} of {} of the model is missing; put it beside the "
                        "others",
                        paths[i].string(), i + 1, paths.size()));
    }
    std::vector<std::unique_ptr<const StableFile>> files;
    const auto failed = std::make_shared<std::atomic<bool>>(false);
    for (const auto& part : paths) files.push_back(std::make_unique<StableFile>(part, failed));
    return files;
}

FileStamp stamp_of(const std::vector<std::unique_ptr<const StableFile>>& files) {
    std::vector<FileStamp> stamps;
    for (const auto& file : files) stamps.push_back(file->stamp());
    return combined(stamps);
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path, const FileStamp* expected) {
    try {
        files_ = open_files(path);
    } catch (const ModelError& e) {
        if (expected != nullptr) throw FileFailed(e.what());
        throw;
    }
    stamp_ = stamp_of(files_);
    if (expected != nullptr && stamp_ != *expected) {
        throw FileFailed(path.string() + ": is not the file any more that it was");
    }
    if (files_.size() > 1) {
        join();
        return;
    }
    bytes_ = stamp_.bytes;
    header_bytes_ = header_of(*files_[0]);
    header_ = GgufHeader::parse(header_bytes_, bytes_, path.string());
    check_part(header_, 1, 1);
}

// What llama-gguf-split --merge would write.
void GgufFile::join() {
    GgufWriter writer;
    std::set<std::string> names;
    std::uint64_t announced = 0;
    for (std::size_t i = 0; i < files_.size(); ++i) {
        const StableFile& file = *files_[i];
        const std::vector<std::byte> bytes = header_of(file);
        const auto header = GgufHeader::parse(bytes, file.stamp().bytes, file.path().string());
        check_part(header, static_cast<std::uint32_t>(i + 1),
                   static_cast<std::uint32_t>(files_.size()));
        const std::uint64_t tensors = header.get_uint(split_keys::kTensors);
        if (i == 0) {
            writer.copy_metadata(bytes, file.stamp().bytes, header.name());
            announced = tensors;
        }
        if (tensors != announced || names.size() + header.tensors().size() > limits::kMaxTensors) {
            throw ModelError(
                fmt::format("{}: of a model of {} tensors, and the first part is of "
                            "one of {}: they do not belong together",
                            header.name(), tensors, announced));
        }
        for (const TensorInfo& info : header.tensors()) {
            if (!names.insert(info.name).second) {
                throw ModelError(
                    fmt::format("{}: tensor {} is in a part before it, too: they do "
                                "not belong together",
                                header.name(), info.name));
            }
            writer.add_tensor_rows(info.name, info.type, info.cols, info.rows, nullptr,
                                   info.matrices);
            places_.push_back({i, info.offset});
        }
    }
    if (names.size() != announced) {
        throw ModelError(
            fmt::format("{}: its {} parts have {} tensors and should have {}: they do "
                        "not belong together",
                        path().string(), files_.size(), names.size(), announced));
    }
    writer.set(std::string(split_keys::kCount), std::uint16_t{0});
    const std::string header = writer.header();
    const auto* begin = reinterpret_cast<const std::byte*>(header.data());
    header_bytes_.assign(begin, begin + header.size());
    bytes_ = writer.file_bytes();
    header_ = GgufHeader::parse(header_bytes_, bytes_, path().string());
}

GgufFile::Place GgufFile::place(const TensorInfo& info) const noexcept {
    if (places_.empty()) return {*files_[0], info.offset};
    const PartPlace& place = places_[static_cast<std::size_t>(&info - header_.tensors().data())];
    return {*files_[place.file], place.begin};
}

std::vector<std::byte> GgufFile::data(const TensorInfo& info) const {
    std::vector<std::byte> out(static_cast<std::size_t>(info.bytes));
    const Place at = place(info);
    at.file.read(at.begin, out);
    return out;
}

void GgufFile::check() const {
    for (const auto& file : files_) file->check();
}

}  // namespace shoal::model
