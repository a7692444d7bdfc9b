// Reading GGUF v2 and v3 files, fully validated.
// Source: the GGUF specification (ggml repository, docs/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/model/stable_file.hpp"
#include "kernels/types.hpp"

namespace shoal::model {

/// No header is longer, with its padding.
inline constexpr std::uint64_t kMaxHeaderFileBytes = std::uint64_t{130} << 20;

/// An array of metadata. Strings stay in the bytes that were parsed; they are views.
struct MetaArray {
    std::variant<std::vector<bool>, std::vector<std::int64_t>, std::vector<std::uint64_t>,
                 std::vector<double>, std::vector<std::string_view>>
        items;
};

/// A metadata value, widened: every signed type to int64, unsigned to uint64, float to double.
using MetaValue =
    std::variant<bool, std::int64_t, std::uint64_t, double, std::string_view, MetaArray>;

struct TensorInfo {
    std::string name;
    kernels::DType type;
    std::uint64_t cols;    ///< elements of a row (GGUF dims[0])
    std::uint64_t rows;    ///< of all its matrices: the product of the other dims
    std::uint64_t offset;  ///< bytes from the start of the file
    std::uint64_t bytes;
    std::uint64_t matrices = 1;  ///< one below the other: the product of dims[2] and what follows
};

/// The parsed header of a model: metadata and tensor table. Also built from header bytes alone,
/// for a device that holds no file. Views point into the bytes it was parsed from.
class GgufHeader {
  public:
    /// Parse `bytes`, the beginning of a file of `file_bytes` bytes called `name` in messages.
    /// Throws ModelError when malformed, truncated or beyond a limit (see gguf.cpp).
    static GgufHeader parse(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                            const std::string& name);

    /// Of tensors alone, for the plan of a model that is not there.
    static GgufHeader of(std::vector<TensorInfo> tensors, std::string name);

    const MetaValue* find(std::string_view key) const noexcept;
    const std::map<std::string, MetaValue, std::less<>>& metadata() const noexcept;

    /// Typed access. `get` throws ModelError naming the key when absent or of another type;
    /// `get_or` throws only on another type.
    std::uint64_t get_uint(std::string_view key) const;
    std::uint64_t get_uint_or(std::string_view key, std::uint64_t fallback) const;
    double get_float(std::string_view key) const;
    double get_float_or(std::string_view key, double fallback) const;
    bool get_bool_or(std::string_view key, bool fallback) const;
    std::string_view get_string(std::string_view key) const;
    std::string_view get_string_or(std::string_view key, std::string_view fallback) const;
    const MetaArray* find_array(std::string_view key) const;

    const std::vector<TensorInfo>& tensors() const noexcept;
    const TensorInfo* find_tensor(std::string_view name) const noexcept;
    /// Throws ModelError when there is no such tensor.
    const TensorInfo& tensor(std::string_view name) const;

    const std::string& name() const noexcept;
    /// Bytes from the start of the file to the first tensor: what a device without the file needs.
    std::uint64_t header_bytes() const noexcept;

  private:
    std::string name_;
    std::map<std::string, MetaValue, std::less<>> metadata_;
    std::vector<TensorInfo> tensors_;
    std::map<std::string, std::size_t, std::less<>> tensor_index_;
    std::uint64_t header_bytes_ = 0;
};

/// The number of weights in all tensors.
std::uint64_t parameter_count(const GgufHeader& header) noexcept;

/// "Q4_K_M": what general.file_type says, else the type that most weights have.
std::string quantisation_name(const GgufHeader& header);

/// A model's GGUF file: its header in memory, its tensors on the disk until they are read. Where a
/// model is in several files (split.hpp) the header is that of the one file that they would make.
/// Immutable and thread-safe after construction.
class GgufFile {
  public:
    /// Of several files, the path of any. Throws ModelError when one cannot be opened, read or
    /// parsed, or they do not belong together.
    explicit GgufFile(const std::filesystem::path& path) : GgufFile(path, nullptr) {}
    /// The same; throws FileFailed when they are not the files that together had this stamp.
    GgufFile(const std::filesystem::path& path, const FileStamp& stamp) : GgufFile(path, &stamp) {}
    GgufFile(const GgufFile&) = delete;
    GgufFile& operator=(const GgufFile&) = delete;

    const GgufHeader& header() const noexcept { return header_; }
    std::span<const std::byte> header_bytes() const noexcept { return header_bytes_; }
    /// The first, where there are several.
    const std::filesystem::path& path() const noexcept { return files_[0]->path(); }
    /// Of all files together.
    const FileStamp& stamp() const noexcept { return stamp_; }
    /// The length of the one file that they are or would make.
    std::uint64_t bytes() const noexcept { return bytes_; }

    /// Where a tensor's data lies.
    struct Place {
        const StableFile& file;
        std::uint64_t begin;
    };
    /// `info` comes from this file's header.
    Place place(const TensorInfo& info) const noexcept;
    /// The tensor's data. Throws FileFailed when the file cannot be read or is not what it was.
    std::vector<std::byte> data(const TensorInfo& info) const;

    /// Throws as StableFile::check.
    void check() const;
    std::shared_ptr<const std::atomic<bool>> failed() const noexcept { return files_[0]->failed(); }

  private:
    GgufFile(const std::filesystem::path& path, const FileStamp* expected);
    void join();

    // Where the data of a tensor lies, of several files.
    struct PartPlace {
        std::size_t file;
        std::uint64_t begin;
    };
    std::vector<std::unique_ptr<const StableFile>> files_;
    FileStamp stamp_;
    std::uint64_t bytes_ = 0;
    std::vector<std::byte> header_bytes_;
    GgufHeader header_;              // views into header_bytes_
    std::vector<PartPlace> places_;  // of each tensor; none: as the header says
};

}  // namespace shoal::model
