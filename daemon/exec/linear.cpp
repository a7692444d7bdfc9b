#include "daemon/exec/linear.hpp"

#include <algorithm>
#include <cassert>

#include "kernels/panel.hpp"

namespace shoal::exec {
namespace {

// With more rows of x than this, products take longer than reading the weights from memory.
constexpr std::size_t kFewRows = 16;

// Panels that a thread takes at a time when many rows of x meet them: enough that each stretch of x
// is read from the second-level cache often.
constexpr std::size_t kPanelChunk = 8;

// The least weight that a thread takes at a time when few rows of x meet it.
constexpr std::size_t kLeastBytes = std::size_t{64} << 10;

// Rows of x that meet a chunk of weights before the next chunk does: what a kernel reads of them at
// a time stays in the second-level cache.
constexpr std::size_t kBlockRows = 256;

// Gated products are shared out by columns of their result that become one block of activations.
constexpr std::size_t kGatedColumns = kernels::kActivationBlock;
constexpr std::size_t kGatedPanels = kGatedColumns / kernels::kPanelRows;

// What a thread makes of one matrix at a time when rows are many: it stays in the second-level
// cache.
constexpr std::size_t kProductFloats = kBlockRows * kPanelChunk * kernels::kPanelRows;

// Shares of the largest matrix so far; a larger one makes the list grow once.
constexpr std::size_t kMaxCuts = 4096;

std::size_t panels_of(const Matrix& w) noexcept {
    return (w.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

std::size_t panel_bytes_of(const Matrix& w) noexcept {
    const std::size_t groups = w.cols / kernels::kActivationBlock;
    return w.packed ? kernels::panel_bytes(w.type, w.group_begin, w.group_begin + groups)
                    : kernels::kPanelRows * w.stride;
}

}  // namespace

Linear::Linear(const kernels::Table& kernels, ThreadPool& pool)
    : kernels_(kernels), pool_(pool), scratch_(pool.threads() * 2 * kProductFloats) {
    cuts_.reserve(kMaxCuts);
}

std::size_t Linear::buffer_bytes(std::uint32_t threads) noexcept {
    return threads * 2 * kProductFloats * sizeof(float);
}

float* Linear::scratch_of(std::uint32_t worker) noexcept {
    return scratch_.data() + worker * 2 * kProductFloats;
}

// y[r][0..] = rows [out_begin, out_end) of W @ rows of x; out_begin is a multiple of kPanelRows.
void Linear::multiply(const Matrix& w, const Activations& x, const Block& b, float* y,
                      std::size_t y_stride) const noexcept {
    const std::size_t outs = b.out_end - b.out_begin;
    if (w.packed) {
        const std::byte* panels = w.data + b.out_begin / kernels::kPanelRows * panel_bytes_of(w);
        const std::size_t groups = x.cols() / kernels::kActivationBlock;
        kernels_.panel_matmul_for(w.type)({panels, w.group_begin, w.group_begin + groups,
                                           x.blocks(b.row), x.block_stride(), y, y_stride, b.rows,
                                           0, outs});
        return;
    }
    const bool q8 = !kernels::is_float(w.type);
    kernels::Matmul m;
    m.w = w.data + b.out_begin * w.stride;
    m.w_stride = w.stride;
    m.x = q8 ? static_cast<const void*>(x.blocks(b.row)) : x.floats(b.row);
    m.x_stride = q8 ? x.block_stride() : x.cols() * sizeof(float);
    m.y = y;
    m.y_stride = y_stride;
    m.cols = x.cols();
    m.rows = b.rows;
    m.out_begin = 0;
    m.out_end = outs;
    kernels_.matmul_for(w.type)(m);
}

// Where threads' shares of all units of weight end. Memory is streamed best in long runs, so when
// few rows meet the weights, the first shares are long; the last are short, so that no thread waits
// long for another. Many rows take the units from the cache, `units_of_many` at a time.
void Linear::cut(std::size_t units, std::size_t unit_bytes, std::size_t rows,
                 std::size_t units_of_many) noexcept {
    cuts_.clear();
    const bool many = rows > kFewRows;
    const std::size_t least =
        many ? units_of_many : std::max<std::size_t>(1, kLeastBytes / unit_bytes);
    for (std::size_t done = 0; done < units;) {
        const std::size_t left = units - done;
        const std::size_t half = many ? 0 : left / (2 * pool_.threads());
        done += std::min(left, std::max(least, half));
        cuts_.push_back(static_cast<std::uint32_t>(done));
    }
}

// fn(first row, rows, first unit, end of units, worker) for each share and block of rows.
template <typename Fn>
void Linear::share(std::size_t rows, const Fn& fn) noexcept {
    const std::size_t shares = cuts_.size();
    const std::size_t blocks = (rows + kBlockRows - 1) / kBlockRows;
    pool_.run(blocks * shares, 1, [&](std::size_t i, std::size_t, std::uint32_t worker) {
        const std::size_t s = i % shares;
        const std::size_t row = i / shares * kBlockRows;
        fn(row, std::min(kBlockRows, rows - row), s == 0 ? 0 : cuts_[s - 1], cuts_[s], worker);
    });
}

void Linear::run(const Activations& x, std::initializer_list<Product> products) noexcept {
    std::size_t panels = 0;
    std::size_t bytes = 1;
    for (const Product& p : products) {
        panels += panels_of(*p.w);
        if (p.w->rows != 0) bytes = std::max(bytes, panel_bytes_of(*p.w));
    }
    cut(panels, bytes, x.rows(), kPanelChunk);
    share(x.rows(), [&](std::size_t row, std::size_t rows, std::size_t begin, std::size_t end,
                        std::uint32_t worker) {
        for (const Product& p : products) {
            const std::size_t own = panels_of(*p.w);
            if (begin < own && end > 0) {
                const std::size_t first = begin * kernels::kPanelRows;
                const std::size_t last =
                    std::min<std::size_t>(std::min(end, own) * kernels::kPanelRows, p.w->rows);
                multiply_product(p, x, {row, rows, first, last}, scratch_of(worker));
            }
            begin = begin < own ? 0 : begin - own;
            end = end < own ? 0 : end - own;
        }
    });
}

void Linear::multiply_product(const Product& p, const Activations& x, const Block& b,
                              float* scratch) const noexcept {
    const std::size_t stride = p.w->rows;
    float* y = p.y + b.row * stride + b.out_begin;
    if (b.rows <= kFewRows) {
        multiply(*p.w, x, b, y, stride);
        return;
    }
    // Kernels go over the sums once for every stretch of columns. In y their rows may lie pages
    // apart; side by side they stay in the second-level cache.
    const std::size_t n = b.out_end - b.out_begin;
    assert(b.rows * n <= kProductFloats);
    multiply(*p.w, x, b, scratch, n);
    for (std::size_t r = 0; r < b.rows; ++r) std::copy_n(scratch + r * n, n, y + r * stride);
}

void Linear::run_gated(const Activations& x, const Matrix& gate, const Matrix& up, Activations& out,
                       std::size_t col) noexcept {
    assert(gate.rows == up.rows);
    const std::size_t units = (gate.rows + kGatedColumns - 1) / kGatedColumns;
    const std::size_t bytes = kGatedPanels * (panel_bytes_of(gate) + panel_bytes_of(up));
    cut(units, bytes, x.rows(), kPanelChunk / kGatedPanels);
    share(x.rows(), [&](std::size_t row, std::size_t rows, std::size_t begin, std::size_t end,
                        std::uint32_t worker) {
        const std::size_t last = std::min<std::size_t>(end * kGatedColumns, gate.rows);
        multiply_gated(x, gate, up, {row, rows, begin * kGatedColumns, last}, out, col,
                       scratch_of(worker));
    });
}

void Linear::multiply_gated(const Activations& x, const Matrix& gate, const Matrix& up,
                            const Block& b, Activations& out, std::size_t col,
                            float* scratch) const noexcept {
    const std::size_t most = kProductFloats / b.rows / kGatedColumns * kGatedColumns;
    float* const g = scratch;
    float* const u = scratch + kProductFloats;
    for (std::size_t first = b.out_begin; first < b.out_end; first += most) {
        const std::size_t n = std::min(most, b.out_end - first);
        const Block part{b.row, b.rows, first, first + n};
        multiply(gate, x, part, g, n);
        multiply(up, x, part, u, n);
        for (std::size_t r = 0; r < b.rows; ++r) {
            kernels_.silu_mul(g + r * n, u + r * n, g + r * n, n);
            out.store(b.row + r, col + first, g + r * n, n);
        }
    }
}

}  // namespace shoal::exec
