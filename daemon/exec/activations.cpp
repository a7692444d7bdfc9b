#include "daemon/exec/activations.hpp"

#include <algorithm>
#include <cassert>

namespace shoal::exec {
namespace {

constexpr std::size_t kCacheLine = 64;

// Bytes from one row of blocks to the next: an odd number of cache lines, so that the rows of a
// tile do not all fall on the same few sets of the cache.
std::size_t row_stride(std::size_t cols) noexcept {
    const std::size_t bytes = cols / kernels::kActivationBlock * sizeof(kernels::ActivationBlock);
    return ((bytes + kCacheLine - 1) / kCacheLine | 1) * kCacheLine;
}

}  // namespace

Activations::Activations(const kernels::Table& kernels, std::size_t max_rows, std::size_t max_cols,
                         bool floats)
    : kernels_(kernels),
      blocks_(max_rows * row_stride(max_cols)),
      floats_(floats ? max_rows * max_cols : 0) {}

std::size_t Activations::buffer_bytes(std::size_t max_rows, std::size_t max_cols,
                                      bool floats) noexcept {
    return max_rows * (row_stride(max_cols) + (floats ? max_cols * sizeof(float) : 0));
}

void Activations::reset(std::size_t rows, std::size_t cols,
                        std::initializer_list<const Matrix*> readers) noexcept {
    rows_ = rows;
    cols_ = cols;
    block_stride_ = row_stride(cols);
    wants_floats_ = wants_blocks_ = false;
    for (const Matrix* w : readers) {
        if (w->rows == 0) continue;
        (kernels::is_float(w->type) ? wants_floats_ : wants_blocks_) = true;
    }
    assert(!wants_blocks_ || rows * block_stride_ <= blocks_.size());
    assert(!wants_floats_ || rows * cols <= floats_.size());
}

void Activations::reset_zero(std::size_t rows, std::size_t cols,
                             std::initializer_list<const Matrix*> readers) noexcept {
    reset(rows, cols, readers);
    // A block of zeros is all zero bytes.
    if (wants_blocks_) std::fill_n(blocks_.begin(), rows * block_stride_, std::byte{0});
    if (wants_floats_) std::fill_n(floats_.begin(), rows * cols, 0.0F);
}

void Activations::reset_for(const Matrix& reader, std::size_t rows) noexcept {
    if (reader.cols == reader.own_cols) {
        reset(rows, reader.cols, {&reader});
    } else {
        reset_zero(rows, reader.cols, {&reader});
    }
}

void Activations::take(const Activations& from, std::span<const std::uint32_t> rows) noexcept {
    rows_ = rows.size();
    cols_ = from.cols_;
    block_stride_ = from.block_stride_;
    wants_floats_ = from.wants_floats_;
    wants_blocks_ = from.wants_blocks_;
    for (std::size_t i = 0; i < rows_; ++i) {
        if (wants_floats_) std::copy_n(from.floats(rows[i]), cols_, &floats_[i * cols_]);
        if (wants_blocks_) {
            std::copy_n(&from.blocks_[rows[i] * block_stride_], block_stride_,
                        &blocks_[i * block_stride_]);
        }
    }
}

void Activations::store(std::size_t row, std::size_t col, const float* x, std::size_t n) noexcept {
    assert(row < rows_ && col + n <= cols_);
    if (wants_floats_) std::copy_n(x, n, floats_.data() + row * cols_ + col);
    if (!wants_blocks_) return;
    assert(col % kernels::kActivationBlock == 0 && n % kernels::kActivationBlock == 0);
    auto* blocks =
        reinterpret_cast<kernels::ActivationBlock*>(blocks_.data() + row * block_stride_);
    kernels_.quantize_activations(x, blocks + col / kernels::kActivationBlock, n);
}

const kernels::ActivationBlock* Activations::blocks(std::size_t row) const noexcept {
    return reinterpret_cast<const kernels::ActivationBlock*>(blocks_.data() + row * block_stride_);
}

}  // namespace shoal::exec
