// The residual stream: what every device holds whole, and to the last bit alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "daemon/exec/activations.hpp"
#include "daemon/exec/all_reduce.hpp"
#include "daemon/exec/collective.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/model/hparams.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// x (rows, dim) of a step. What begin() and add() bring is written by the next norm(), in one pass
/// over the rows with the norm itself. Owned by the thread that runs the steps; kernels and pool
/// must outlive it.
class Residual {
  public:
    /// `payload` and `scatter_rows`: see AllReduce. `floats`: some matrix reads activations as
    /// floats. Throws std::bad_alloc.
    Residual(const model::Hparams& hparams, const kernels::Table& kernels, ThreadPool& pool,
             PayloadType payload, std::uint32_t scatter_rows, std::uint32_t max_rows, bool floats);

    /// `scatters`: scatter_rows is not 0.
    static std::uint64_t bytes(const model::Hparams& hparams, std::uint32_t max_rows,
                               std::uint32_t threads, bool scatters) noexcept;

    /// x = embeddings (rows, dim) in the table's own type, read until the next norm().
    /// `as_many_as`: of all sums of the step, see AllReduce::exchange().
    void begin(std::size_t rows, kernels::DType type, const std::byte* embeddings,
               std::size_t as_many_as = SIZE_MAX) noexcept;

    /// RMS norm of x with these weights (dim), in the forms in which `readers` read it; those
    /// without rows do not count. Valid until the next call.
    const Activations& norm(const float* weights,
                            std::initializer_list<const Matrix*> readers) noexcept;

    /// x += the sum of all devices' partial (rows, dim), which is read until the next norm(); null
    /// when this device's share is empty. Requires: norm() since the last begin() or add().
    Status add(LayerCollective& collective, const float* partial);

    /// Write what is pending, as the next norm() would.
    void settle() noexcept;
    /// Row r (dim). Requires: settle() or norm() since the last begin() or add().
    const float* row(std::size_t r) const noexcept { return &x_[r * dim_]; }

    /// The rows of `other` follow those of x. Requires: room for them.
    void append(Residual& other) noexcept;

    /// x = the rows of all devices in rank order, `rows` together, as they are.
    Status gather(LayerCollective& collective, std::size_t rows);

    /// Row `to` becomes what row `from` is. Requires: norm() since the last begin() or add().
    void copy_row(std::size_t from, std::size_t to) noexcept;
    /// Forget the rows from this one on.
    void shrink(std::size_t rows) noexcept { rows_ = rows; }

    std::size_t rows() const noexcept { return rows_; }

  private:
    enum class Pending : std::uint8_t { nothing, embeddings, sums };

    void catch_up(std::size_t begin, std::size_t end, std::uint32_t worker) noexcept;

    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const std::size_t dim_;
    const float norm_eps_;
    AllReduce all_reduce_;
    Pending pending_ = Pending::nothing;
    kernels::DType type_ = kernels::DType::f32;  // of the embeddings
    const std::byte* embeddings_ = nullptr;
    std::size_t rows_ = 0;
    std::size_t as_many_as_ = SIZE_MAX;
    std::vector<float> x_;       // (rows, dim)
    std::vector<float> normed_;  // (threads, dim)
    Activations hidden_;         // (rows, dim)
    std::vector<std::span<const std::byte>> received_;
};

}  // namespace shoal::exec
