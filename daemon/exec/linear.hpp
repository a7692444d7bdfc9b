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

    /// `max_values`: the largest rows * columns of an input.
    Linear(const kernels::Table& kernels, ThreadPool& pool, std::size_t max_values);

    /// Compute all products of x (rows, cols); matrices without rows are skipped.
    void run(const float* x, std::size_t rows, std::size_t cols,
             std::initializer_list<Product> products) noexcept;

    static std::size_t buffer_bytes(std::size_t max_values) noexcept;

  private:
    void quantize(const float* x, std::size_t rows, std::size_t cols) noexcept;

    const kernels::Table& kernels_;
    ThreadPool& pool_;
    std::vector<kernels::ActivationBlock> quantized_;
};

}  // namespace shoal::exec
