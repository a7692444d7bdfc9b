#include "daemon/exec/linear.hpp"

#include <algorithm>
#include <cassert>

#include "kernels/panel.hpp"

namespace shoal::exec {
namespace {

// Output rows that a thread takes at a time. Few for few rows of x, so that faster threads can take
// more; for many, enough that each stretch of x is read from the second-level cache often.
constexpr std::size_t kFewRows = 16;
constexpr std::size_t kSmallChunk = 8 * kernels::kPanelRows;
constexpr std::size_t kLargeChunk = 8 * kernels::kPanelRows;

// Rows of x that meet a chunk of weights before the next chunk does: what a kernel reads of them at
// a time stays in the second-level cache.
constexpr std::size_t kBlockRows = 256;

constexpr std::size_t kCacheLine = 64;

// Bytes from one row of activations to the next: an odd number of cache lines, so that the rows of
// a tile do not all fall on the same few sets of the cache.
std::size_t row_stride(std::size_t cols) noexcept {
    const std::size_t bytes = cols / kernels::kActivationBlock * sizeof(kernels::ActivationBlock);
    return ((bytes + kCacheLine - 1) / kCacheLine | 1) * kCacheLine;
}

}  // namespace

Linear::Linear(const kernels::Table& kernels, ThreadPool& pool, std::size_t max_rows,
               std::size_t max_cols)
    : kernels_(kernels), pool_(pool), quantized_(buffer_bytes(max_rows, max_cols)) {}

std::size_t Linear::buffer_bytes(std::size_t max_rows, std::size_t max_cols) noexcept {
    return max_rows * row_stride(max_cols);
}

kernels::ActivationBlock* Linear::quantized_row(std::size_t row, std::size_t stride) noexcept {
    return reinterpret_cast<kernels::ActivationBlock*>(quantized_.data() + row * stride);
}

void Linear::quantize(const float* x, std::size_t rows, std::size_t cols) noexcept {
    const std::size_t stride = row_stride(cols);
    assert(rows * stride <= quantized_.size());
    pool_.run(rows, 4, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            kernels_.quantize_activations(x + r * cols, quantized_row(r, stride), cols);
        }
    });
}

void Linear::multiply(const Product& p, const float* x, std::size_t cols, const Block& b) noexcept {
    const Matrix& w = *p.w;
    const std::size_t stride = row_stride(cols);
    float* y = p.y + b.row * w.rows;
    if (w.packed) {
        const std::size_t groups = cols / kernels::kActivationBlock;
        kernels_.panel_matmul_for(w.type)({w.data, w.group_begin, w.group_begin + groups,
                                           quantized_row(b.row, stride), stride, y, w.rows, b.rows,
                                           b.out_begin, b.out_end});
        return;
    }
    const bool q8 = !kernels::is_float(w.type);
    kernels::Matmul m;
    m.w = w.data;
    m.w_stride = w.stride;
    m.x = q8 ? static_cast<const void*>(quantized_row(b.row, stride)) : x + b.row * cols;
    m.x_stride = q8 ? stride : cols * sizeof(float);
    m.y = y;
    m.y_stride = w.rows;
    m.cols = cols;
    m.rows = b.rows;
    m.out_begin = b.out_begin;
    m.out_end = b.out_end;
    kernels_.matmul_for(w.type)(m);
}

void Linear::run(const float* x, std::size_t rows, std::size_t cols,
                 std::initializer_list<Product> products) noexcept {
    const std::size_t outs = rows <= kFewRows ? kSmallChunk : kLargeChunk;
    std::size_t chunks = 0;
    bool wants_q8 = false;
    for (const Product& p : products) {
        chunks += (p.w->rows + outs - 1) / outs;
        wants_q8 |= p.w->rows != 0 && !kernels::is_float(p.w->type);
    }
    if (chunks == 0) return;
    if (wants_q8) quantize(x, rows, cols);

    const std::size_t blocks = (rows + kBlockRows - 1) / kBlockRows;
    pool_.run(blocks * chunks, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            Block b;
            b.row = i / chunks * kBlockRows;
            b.rows = std::min(kBlockRows, rows - b.row);
            std::size_t index = i % chunks;
            for (const Product& p : products) {
                const std::size_t own = (p.w->rows + outs - 1) / outs;
                if (index < own) {
                    b.out_begin = index * outs;
                    b.out_end = std::min<std::size_t>(b.out_begin + outs, p.w->rows);
                    multiply(p, x, cols, b);
                    break;
                }
                index -= own;
            }
        }
    });
}

}  // namespace shoal::exec
