#include "daemon/exec/linear.hpp"

#include <algorithm>
#include <cassert>

namespace shoal::exec {
namespace {

// Output rows that a thread takes at a time: small enough to share evenly, large enough that
// taking them costs nothing and register tiles are full.
constexpr std::size_t kRowChunk = 32;

}  // namespace

Linear::Linear(const kernels::Table& kernels, ThreadPool& pool, std::size_t max_values)
    : kernels_(kernels), pool_(pool), quantized_(max_values / kernels::kActivationBlock) {}

std::size_t Linear::buffer_bytes(std::size_t max_values) noexcept {
    return max_values / kernels::kActivationBlock * sizeof(kernels::ActivationBlock);
}

void Linear::quantize(const float* x, std::size_t rows, std::size_t cols) noexcept {
    const std::size_t blocks = cols / kernels::kActivationBlock;
    assert(rows * blocks <= quantized_.size());
    pool_.run(rows, 4, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            kernels_.quantize_activations(x + r * cols, quantized_.data() + r * blocks, cols);
        }
    });
}

void Linear::run(const float* x, std::size_t rows, std::size_t cols,
                 std::initializer_list<Product> products) noexcept {
    std::size_t chunks = 0;
    bool wants_q8 = false;
    for (const Product& p : products) {
        chunks += (p.w->rows + kRowChunk - 1) / kRowChunk;
        wants_q8 |= p.w->rows != 0 && !kernels::is_float(p.w->type);
    }
    if (chunks == 0) return;
    if (wants_q8) quantize(x, rows, cols);

    const auto chunk = [&](const Product& p, std::size_t index) {
        const bool q8 = !kernels::is_float(p.w->type);
        kernels::Matmul m;
        m.w = p.w->data;
        m.w_stride = p.w->stride;
        m.x = q8 ? static_cast<const void*>(quantized_.data()) : x;
        m.x_stride = q8 ? cols / kernels::kActivationBlock * sizeof(kernels::ActivationBlock)
                        : cols * sizeof(float);
        m.y = p.y;
        m.y_stride = p.w->rows;
        m.cols = cols;
        m.rows = rows;
        m.out_begin = index * kRowChunk;
        m.out_end = std::min<std::size_t>(m.out_begin + kRowChunk, p.w->rows);
        kernels_.matmul_for(p.w->type)(m);
    };
    pool_.run(chunks, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            std::size_t index = i;
            for (const Product& p : products) {
                const std::size_t own = (p.w->rows + kRowChunk - 1) / kRowChunk;
                if (index < own) {
                    chunk(p, index);
                    break;
                }
                index -= own;
            }
        }
    });
}

}  // namespace shoal::exec
