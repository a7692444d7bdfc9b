// Apart from the rest of the writer, because it alone needs kernels at link time.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/gguf_writer.hpp"
#include "kernels/kernels.hpp"

namespace shoal::model {

void GgufWriter::add_tensor_f32(std::string name, kernels::DType type, std::uint64_t cols,
                                std::uint64_t rows, std::span<const float> values) {
    add_tensor_rows(name, type, cols, rows, nullptr);  // checks everything but the data
    take_back();
    if (values.size() != cols * rows) {
        throw ModelError(fmt::format("tensor {} cannot be written: {} values instead of {} x {}",
                                     quote(name), values.size(), rows, cols));
    }
    const std::size_t row_bytes = kernels::row_bytes(type, cols);
    std::vector<std::byte> data(rows * row_bytes);
    for (std::size_t row = 0; row < rows; ++row) {
        kernels::quantize(type, values.data() + row * cols, data.data() + row * row_bytes, cols);
    }
    add_tensor(std::move(name), type, cols, rows, data);
}

}  // namespace shoal::model
