// What layers take beside products and attention. Private to this folder.
#pragma once

#include <cstdint>

#include "daemon/exec/thread_pool.hpp"
#include "daemon/measure/passes.hpp"
#include "kernels/kernels.hpp"

namespace shoal::measure {

/// Elements of the residual stream a second that are added, normalised and quantised between two
/// products, many rows at a time. Throws std::bad_alloc.
double stream_elements(const kernels::Table& kernels, exec::ThreadPool& pool, const Passes& passes);

/// Parts that layer_seconds() takes.
inline constexpr unsigned kLayerParts = 2;
/// Seconds of a layer of a decoding step that do not grow with its weights: loops that begin and
/// end, threads that wait for the last one, rows that one thread norms. Models of two sizes, at
/// most `bytes` large, decode; what their layers take is a straight line over their bytes, and this
/// is where it begins. Throws std::bad_alloc.
double layer_seconds(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes,
                     const Passes& passes);

}  // namespace shoal::measure
