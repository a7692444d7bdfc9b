// How a matrix product is cut into register tiles and cache panels, the same on all vector ISAs.
#pragma once

#include "kernels/kernels.hpp"

// Asks the compiler to unroll the loop that follows. A register tile is a small array of vectors,
// which lives in registers only when every index is a constant.
#if defined(__clang__)
#define SHOAL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHOAL_UNROLL _Pragma("GCC unroll 16")
#endif

namespace shoal::kernels::vector {
namespace {

/// Weight rows [out, out + R) against rows [begin, end) of x.
///
/// Kernel::tile<R, C>(m, out, row, fresh) computes R weight rows times C rows of x from `row` on.
/// fresh says that these weight rows come from memory: no row of x has met them before.
template <class Kernel, std::size_t R>
inline void run_rows(const Matmul& m, std::size_t out, std::size_t begin,
                     std::size_t end) noexcept {
    std::size_t row = begin;
    for (; row + 4 <= end; row += 4) Kernel::template tile<R, 4>(m, out, row, row == begin);
    const bool fresh = row == begin;
    switch (end - row) {
        case 3:
            return Kernel::template tile<R, 3>(m, out, row, fresh);
        case 2:
            return Kernel::template tile<R, 2>(m, out, row, fresh);
        case 1:
            return Kernel::template tile<R, 1>(m, out, row, fresh);
        default:
            return;
    }
}

/// The whole product. Kernel::kOutputs weight rows by four rows of x fill the registers. Rows of x
/// go in panels of Kernel::kPanelBytes, which stay in the second-level cache while the weights
/// stream past.
template <class Kernel>
inline void run(const Matmul& m) noexcept {
    constexpr std::size_t kOutputs = Kernel::kOutputs;
    const std::size_t fit = Kernel::kPanelBytes / (m.x_stride != 0 ? m.x_stride : 1) / 4 * 4;
    const std::size_t panel = fit != 0 ? fit : 4;
    for (std::size_t begin = 0; begin < m.rows; begin += panel) {
        const std::size_t end = m.rows - begin < panel ? m.rows : begin + panel;
        std::size_t out = m.out_begin;
        if (end - begin == 1) {
            // Four sums at a time share each load of x and hide each other's latency.
            for (; out + 4 <= m.out_end; out += 4) {
                Kernel::template tile<4, 1>(m, out, begin, true);
            }
        }
        for (; out + kOutputs <= m.out_end; out += kOutputs) {
            run_rows<Kernel, kOutputs>(m, out, begin, end);
        }
        for (; out < m.out_end; ++out) run_rows<Kernel, 1>(m, out, begin, end);
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
