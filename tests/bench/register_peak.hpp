// What a core's multiply-adds could reach at most: loops over registers alone.
#pragma once

#include "kernels/kernels.hpp"

namespace shoal::bench {

/// Multiply-adds of bytes that one core does in a second with the instructions of `table`, without
/// memory, scales or conversions; 0 when this program does not know them. Takes `seconds`.
double integer_peak(const kernels::Table& table, double seconds);

/// The same of f32, by fused multiply-add.
double float_peak(const kernels::Table& table, double seconds);

/// The same of bf16 with sums in f32 (vdpbf16ps), which no table uses; 0 where the CPU lacks it.
double bf16_peak(const kernels::Table& table, double seconds);

}  // namespace shoal::bench
