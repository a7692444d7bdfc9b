// Writing GGUF v3 files: for the project's own test and benchmark models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "kernels/types.hpp"

namespace shoal::model {

/// Collects metadata and tensors, then writes one file. Externally synchronised.
class GgufWriter {
  public:
    using Value =
        std::variant<bool, std::uint16_t, std::uint32_t, std::int32_t, std::uint64_t, float, double,
                     std::string, std::vector<std::string>, std::vector<float>,
                     std::vector<std::int32_t>, std::vector<std::uint32_t>>;

    /// Fills `out` with the rows [first, first + count) of a tensor in its type's layout.
    /// Called by write(), front to back, for some megabytes at a time.
    using Fill =
        std::function<void(std::uint64_t first, std::uint64_t count, std::span<std::byte> out)>;

    /// Later values of the same key replace earlier ones. Throws ModelError when a reader would
    /// refuse the key.
    void set(std::string key, Value value);
    /// Take over every key of a file with its exact type, as set() would, except
    /// general.alignment: this writer always aligns to 32 bytes.
    void copy_metadata(const GgufFile& file);
    /// The same of a header; the arguments are those of GgufHeader::parse.
    void copy_metadata(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                       const std::string& name);

    /// `data` is rows x cols in the type's layout; copied. Dims are written as {cols, rows}, or
    /// {cols} when rows is 1. Throws ModelError when the size does not match, or a reader would
    /// refuse the tensor.
    void add_tensor(std::string name, kernels::DType type, std::uint64_t cols, std::uint64_t rows,
                    std::span<const std::byte> data);
    /// Quantise f32 values and add them.
    void add_tensor_f32(std::string name, kernels::DType type, std::uint64_t cols,
                        std::uint64_t rows, std::span<const float> values);
    /// A tensor whose data is made while the file is written, so that it never lies in memory
    /// as a whole. Dims are written as {cols, rows / matrices, matrices} when it holds several
    /// matrices of as many rows, one below the other.
    void add_tensor_rows(std::string name, kernels::DType type, std::uint64_t cols,
                         std::uint64_t rows, Fill fill, std::uint64_t matrices = 1);

    /// Write everything, aligned to 32 bytes, into a temporary file beside `path` that replaces
    /// `path` when it is complete and on the disk: no reader ever sees a half-written model.
    /// Throws std::runtime_error when the file cannot be written, and leaves nothing behind; lets
    /// exceptions of Fill functions through likewise.
    void write(const std::filesystem::path& path) const;

    /// What write() would write before the first tensor, and how long the file would be.
    std::string header() const;
    std::uint64_t file_bytes() const;

  private:
    struct Entry {
        std::string key;
        std::string encoded;  ///< type and value as they stand in the file
    };
    struct Tensor {
        std::string name;
        kernels::DType type;
        std::uint64_t cols, rows, matrices;
        Fill fill;
        std::uint64_t bytes() const noexcept {
            return kernels::row_bytes(type, static_cast<std::size_t>(cols)) * rows;
        }
    };
    void take_back();
    void set_encoded(std::string key, std::string encoded);

    std::vector<Entry> entries_;
    std::map<std::string, std::size_t, std::less<>> entry_index_;
    std::vector<Tensor> tensors_;
    std::set<std::string, std::less<>> tensor_names_;
};

}  // namespace shoal::model
