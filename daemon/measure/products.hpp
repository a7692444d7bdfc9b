// The rates of products. Private to this folder.
#pragma once

#include <cstdint>

#include "daemon/exec/linear.hpp"
#include "daemon/exec/mapped_memory.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/measure/passes.hpp"
#include "daemon/planner/profile.hpp"
#include "kernels/kernels.hpp"

namespace shoal::measure {

/// Multiplies matrices as Executor does: Linear, on all threads. Owned by one thread.
class Products {
  public:
    /// Parts that a family takes.
    static constexpr unsigned kParts = 3;

    /// `bytes` of the largest matrix. Throws std::bad_alloc.
    Products(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes);

    planner::Rates rates(planner::Family family, const Passes& passes);

  private:
    exec::Matrix matrix(kernels::DType type, bool packed, std::uint32_t most_rows) const noexcept;
    double one_row(const exec::Matrix& w, const Passes& passes);
    double many_rows(const exec::Matrix& w, const Passes& passes);

    const kernels::Table& kernels_;
    exec::Linear linear_;
    const std::uint64_t bytes_;
    const exec::MappedMemory memory_;
};

}  // namespace shoal::measure
