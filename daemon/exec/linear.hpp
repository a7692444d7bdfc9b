// Linear layers: products of a slice's matrices with activations, on all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "daemon/exec/activations.hpp"
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

    /// Throws std::bad_alloc.
    Linear(const kernels::Table& kernels, ThreadPool& pool);

    /// All products of x in one loop over the threads; matrices without rows are skipped.
    void run(const Activations& x, std::initializer_list<Product> products) noexcept;

    /// out[r][col..] (rows, gate.rows) = silu(gate @ x) * (up @ x), stored as it is made: neither
    /// product is ever written to memory as a whole. gate and up have the same rows.
    void run_gated(const Activations& x, const Matrix& gate, const Matrix& up, Activations& out,
                   std::size_t col) noexcept;

    static std::size_t buffer_bytes(std::uint32_t threads) noexcept;

  private:
    // Rows [row, row + rows) of x times rows [out_begin, out_end) of a matrix.
    struct Block {
        std::size_t row, rows;
        std::size_t out_begin, out_end;
    };

    void cut(std::size_t units, std::size_t unit_bytes, std::size_t rows,
             std::size_t units_of_many) noexcept;
    float* scratch_of(std::uint32_t worker) noexcept;
    template <typename Fn>
    void share(std::size_t rows, const Fn& fn) noexcept;
    void multiply(const Matrix& w, const Activations& x, const Block& b, float* y,
                  std::size_t y_stride) const noexcept;
    void multiply_product(const Product& p, const Activations& x, const Block& b,
                          float* scratch) const noexcept;
    void multiply_gated(const Activations& x, const Matrix& gate, const Matrix& up, const Block& b,
                        Activations& out, std::size_t col, float* scratch) const noexcept;

    const kernels::Table& kernels_;
    ThreadPool& pool_;
    std::vector<std::uint32_t> cuts_;  // where the shares of the current loop end, in units
    std::vector<float> scratch_;       // two products, for each thread
};

}  // namespace shoal::exec
