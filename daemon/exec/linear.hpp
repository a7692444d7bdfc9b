// Linear layers: activations are quantised once and shared by every matrix that reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/weights.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// Owned by the thread that runs the steps.
class Linear {
  public:
    /// y (rows, W.rows) = W @ x, for one matrix of several that read the same x.
    struct Product {
        const Matrix* w;
        float* y;
    };

    /// The largest input is (max_rows, max_cols). Throws std::bad_alloc.
    Linear(const kernels::Table& kernels, ThreadPool& pool, std::size_t max_rows,
           std::size_t max_cols);

    /// Compute all products of x (rows, cols); matrices without rows are skipped.
    void run(const float* x, std::size_t rows, std::size_t cols,
             std::initializer_list<Product> products) noexcept;

    static std::size_t buffer_bytes(std::size_t max_rows, std::size_t max_cols) noexcept;

  private:
    // Rows [row, row + rows) of x times rows [out_begin, out_end) of a matrix.
    struct Block {
        std::size_t row, rows;
        std::size_t out_begin, out_end;
    };

    void cut(std::size_t panels, std::size_t rows, std::size_t panel_bytes) noexcept;
    void quantize(const float* x, std::size_t rows, std::size_t cols) noexcept;
    void multiply(const Product& p, const float* x, std::size_t cols, const Block& b) noexcept;
    kernels::ActivationBlock* quantized_row(std::size_t row, std::size_t stride) noexcept;

    const kernels::Table& kernels_;
    ThreadPool& pool_;
    std::vector<std::byte> quantized_;  // rows of ActivationBlock
    std::vector<std::uint32_t> cuts_;   // of the panels that are multiplied now
};

}  // namespace shoal::exec
