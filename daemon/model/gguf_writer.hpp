// Writing GGUF v3 files: for the project's own test and benchmark models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "kernels/types.hpp"

namespace shoal::model {

/// Collects metadata and tensors, then writes one file. Externally synchronised.
class GgufWriter {
  public:
    using Value = std::variant<bool, std::uint32_t, std::int32_t, std::uint64_t, float, double,
                               std::string, std::vector<std::string>, std::vector<float>,
                               std::vector<std::int32_t>, std::vector<std::uint32_t>>;

    /// Later values of the same key replace earlier ones.
    void set(std::string key, Value value);
    /// `data` is rows x cols in the type's layout; copied. Dims are written as {cols, rows}, or
    /// {cols} when rows is 1. Throws ModelError when the size does not match.
    void add_tensor(std::string name, kernels::DType type, std::uint64_t cols, std::uint64_t rows,
                    std::span<const std::byte> data);
    /// Quantise f32 values and add them.
    void add_tensor_f32(std::string name, kernels::DType type, std::uint64_t cols,
                        std::uint64_t rows, std::span<const float> values);
    /// Write everything, aligned to 32 bytes. Throws ModelError when the file cannot be written.
    void write(const std::filesystem::path& path) const;

  private:
    struct Tensor {
        std::string name;
        kernels::DType type;
        std::uint64_t cols, rows;
        std::vector<std::byte> data;
    };
    std::vector<std::pair<std::string, Value>> metadata_;
    std::vector<Tensor> tensors_;
};

}  // namespace shoal::model
