#include "daemon/exec/linear.hpp"

#include <algorithm>
#include <cassert>

#include "kernels/panel.hpp"

namespace shoal::exec {
namespace {

// Panels that a thread takes at a time when many rows of x meet them: enough that each stretch of x
// is read from the second-level cache often.
constexpr std::size_t kFewRows = 16;
constexpr std::size_t kPanelChunk = 8;

// The least weight that a thread takes at a time when few rows of x meet it.
constexpr std::size_t kLeastBytes = std::size_t{64} << 10;

// Rows of x that meet a chunk of weights before the next chunk does: what a kernel reads of them at
// a time stays in the second-level cache.
constexpr std::size_t kBlockRows = 256;

constexpr std::size_t kCacheLine = 64;

// Shares of the largest matrix so far; a larger one makes the list grow once.
constexpr std::size_t kMaxCuts = 4096;

// Bytes from one row of activations to the next: an odd number of cache lines, so that the rows of
// a tile do not all fall on the same few sets of the cache.
std::size_t row_stride(std::size_t cols) noexcept {
    const std::size_t bytes = cols / kernels::kActivationBlock * sizeof(kernels::ActivationBlock);
    return ((bytes + kCacheLine - 1) / kCacheLine | 1) * kCacheLine;
}

std::size_t panels_of(const Matrix& w) noexcept {
    return (w.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

std::size_t panel_bytes_of(const Matrix& w) noexcept {
    const std::size_t groups = w.cols / kernels::kActivationBlock;
    return w.packed ? kernels::panel_bytes(w.type, w.group_begin, w.group_begin + groups)
                    : kernels::kPanelRows * w.stride;
}

}  // namespace

Linear::Linear(const kernels::Table& kernels, ThreadPool& pool, std::size_t max_rows,
               std::size_t max_cols)
    : kernels_(kernels), pool_(pool), quantized_(buffer_bytes(max_rows, max_cols)) {
    cuts_.reserve(kMaxCuts);
}

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

// Where threads' shares of all panels end. Memory is streamed best in long runs, so the first
// shares are long; the last are short, so that no thread waits long for another.
void Linear::cut(std::size_t panels, std::size_t rows, std::size_t panel_bytes) noexcept {
    cuts_.clear();
    const std::size_t least =
        rows > kFewRows ? kPanelChunk : std::max<std::size_t>(1, kLeastBytes / panel_bytes);
    for (std::size_t done = 0; done < panels;) {
        const std::size_t left = panels - done;
        const std::size_t share = rows > kFewRows ? 0 : left / (2 * pool_.threads());
        done += std::min(left, std::max(least, share));
        cuts_.push_back(static_cast<std::uint32_t>(done));
    }
}

void Linear::run(const float* x, std::size_t rows, std::size_t cols,
                 std::initializer_list<Product> products) noexcept {
    std::size_t panels = 0;
    std::size_t bytes = 1;
    bool wants_q8 = false;
    for (const Product& p : products) {
        if (p.w->rows == 0) continue;
        panels += panels_of(*p.w);
        bytes = std::max(bytes, panel_bytes_of(*p.w));
        wants_q8 |= !kernels::is_float(p.w->type);
    }
    if (panels == 0) return;
    if (wants_q8) quantize(x, rows, cols);
    cut(panels, rows, bytes);

    const std::size_t blocks = (rows + kBlockRows - 1) / kBlockRows;
    pool_.run(blocks * cuts_.size(), 1, [&](std::size_t i, std::size_t) {
        const std::size_t share = i % cuts_.size();
        std::size_t begin = share == 0 ? 0 : cuts_[share - 1];
        std::size_t end = cuts_[share];
        Block b;
        b.row = i / cuts_.size() * kBlockRows;
        b.rows = std::min(kBlockRows, rows - b.row);
        for (const Product& p : products) {
            const std::size_t own = panels_of(*p.w);
            if (begin < own && end > 0) {
                b.out_begin = begin * kernels::kPanelRows;
                b.out_end =
                    std::min<std::size_t>(std::min(end, own) * kernels::kPanelRows, p.w->rows);
                multiply(p, x, cols, b);
            }
            begin = begin < own ? 0 : begin - own;
            end = end < own ? 0 : end - own;
        }
    });
}

}  // namespace shoal::exec
