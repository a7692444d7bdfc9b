// The rates of attention. Private to this folder.
#pragma once

#include <cstdint>

#include "daemon/exec/thread_pool.hpp"
#include "daemon/measure/passes.hpp"
#include "kernels/kernels.hpp"

namespace shoal::measure {

/// Elements of K, with as many of V, that query heads attend to in a second: see
/// planner::DeviceProfile. Of a KV cache of f16, four query heads for each KV head.

/// A row whose K and V take about `bytes`. Throws std::bad_alloc.
double attend_one(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes,
                  const Passes& passes);
/// Neighbouring rows of a prompt. Throws std::bad_alloc.
double attend_many(const kernels::Table& kernels, exec::ThreadPool& pool, const Passes& passes);

}  // namespace shoal::measure
