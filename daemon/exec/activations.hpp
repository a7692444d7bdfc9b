// The input of linear layers, in the forms in which kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "daemon/exec/weights.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// Rows of activations as the matrices that read them want them: blocks for quantised ones, floats
/// for the others. Each part is quantised where it is made, while it lies in the cache, and once
/// for all of its readers.
class Activations {
  public:
    /// The largest input is (max_rows, max_cols). `floats`: some matrix reads floats.
    /// Throws std::bad_alloc.
    Activations(const kernels::Table& kernels, std::size_t max_rows, std::size_t max_cols,
                bool floats);

    /// Begin an input (rows, cols) for `readers`; those without rows do not count. What is not
    /// stored afterwards is undefined.
    void reset(std::size_t rows, std::size_t cols,
               std::initializer_list<const Matrix*> readers) noexcept;

    /// Begin with zeros everywhere.
    void reset_zero(std::size_t rows, std::size_t cols,
                    std::initializer_list<const Matrix*> readers) noexcept;

    /// Begin the input of a column-cut matrix: zeros, if it stores columns that are not its own.
    void reset_for(const Matrix& reader, std::size_t rows) noexcept;

    /// Become these rows of another input, for the same readers.
    void take(const Activations& from, std::span<const std::uint32_t> rows) noexcept;

    /// Columns [col, col + n) of a row; multiples of 32 when a reader is quantised. Threads may
    /// store different columns or rows at the same time.
    void store(std::size_t row, std::size_t col, const float* x, std::size_t n) noexcept;

    /// False when no reader has rows: then nothing needs to be stored.
    bool wanted() const noexcept { return wants_floats_ || wants_blocks_; }
    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    const float* floats(std::size_t row) const noexcept { return floats_.data() + row * cols_; }
    const kernels::ActivationBlock* blocks(std::size_t row) const noexcept;
    /// Bytes from one row of blocks to the next.
    std::size_t block_stride() const noexcept { return block_stride_; }

    static std::size_t buffer_bytes(std::size_t max_rows, std::size_t max_cols,
                                    bool floats) noexcept;

  private:
    const kernels::Table& kernels_;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    std::size_t block_stride_ = 0;
    bool wants_floats_ = false;
    bool wants_blocks_ = false;
    std::vector<std::byte> blocks_;  // rows of ActivationBlock
    std::vector<float> floats_;
};

}  // namespace shoal::exec
