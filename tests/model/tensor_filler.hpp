// The content of made tensors, row by row, in parallel. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "daemon/model/gguf_writer.hpp"
#include "kernels/types.hpp"

namespace shoal::tests {

/// Computes one row of f32 values; called from several threads at once.
using RowSource = std::function<void(std::uint64_t row, std::span<float> out)>;

/// A writer's Fill that quantises the rows of `source`, on `threads` threads.
model::GgufWriter::Fill quantised_rows(kernels::DType type, std::uint64_t cols, RowSource source,
                                       unsigned threads);

/// Uniform noise: the values depend on the seed, the tensor's name, shape, mean and deviation, and
/// not on its type or the number of threads. Large matrices are put together from a few thousand
/// different runs of values, each quantised once, because quantising every value of a large model
/// would take minutes. Must live until the model is written. Externally synchronised.
class NoiseSource {
  public:
    NoiseSource(std::uint64_t seed, unsigned threads) : seed_(seed), threads_(threads) {}

    model::GgufWriter::Fill fill(std::string_view tensor, kernels::DType type, std::uint64_t cols,
                                 std::uint64_t rows, float mean, float deviation);

  private:
    using Pool = std::vector<std::byte>;
    const Pool& pool(kernels::DType type, float mean, float deviation);

    std::uint64_t seed_;
    unsigned threads_;
    std::map<std::tuple<kernels::DType, float, float>, Pool> pools_;
};

}  // namespace shoal::tests
