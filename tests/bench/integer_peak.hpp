// What a core's integer dot products could do at most: loops over registers alone.
#pragma once

#include "kernels/kernels.hpp"

namespace shoal::bench {

/// Multiply-adds of bytes that one core does in a second with the instructions of `table`, without
/// memory, scales or conversions; 0 when this program does not know them. Takes `seconds`.
double integer_peak(const kernels::Table& table, double seconds);

}  // namespace shoal::bench
