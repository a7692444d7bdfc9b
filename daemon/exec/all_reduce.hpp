// The sum of every device's partial result, bit-identical on all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/payload.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// In one hop: everyone gets everybody's partial sums whole. In two: each device gets everybody's
/// partial sums of its own part of the columns, adds them, and sends that part's sums to everyone;
/// fewer bytes from three devices on, for one more wait. Both give the same bits (../STEPS.md).
/// Owned by the thread that runs the steps.
class AllReduce {
  public:
    /// Rows are `dim` wide, at most `max_rows` of a call. `threads`: those of the pool.
    /// `scatter_rows`: from so many rows on sums go in two hops; 0: never, and then each partial
    /// sum is added to x by itself. The same on all devices. Throws std::bad_alloc.
    AllReduce(const kernels::Table& kernels, PayloadType type, std::uint32_t dim,
              std::size_t max_rows, std::uint32_t threads, std::uint32_t scatter_rows);

    /// Bytes of buffers, at most; those of the two hops only for plans that have them.
    static std::uint64_t bytes(std::uint32_t dim, std::uint32_t max_rows, std::uint32_t threads,
                               bool scatters) noexcept;

    /// Give every device what the sums of all devices' partial sums need: partial (rows, dim), not
    /// written before the last add(). Null when this device's share is empty; it then sends an
    /// empty payload, which adds nothing. The first call on a collective may allocate.
    /// `as_many_as`: one hop or two are chosen as if rows were no more than that.
    Status exchange(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                    const float* partial, std::size_t as_many_as = SIZE_MAX);

    /// x += the sums of the last exchange, of payloads as every device decodes them, its own too.
    /// Without scatter_rows, x[i] += each rank's partial[i] in rank order, one rounding each. With
    /// it, x[i] += their sum in rank order, coded once in the payload's form.
    /// x: (rows, dim), of which the rows [begin, end). Threads may add different rows at a time;
    /// `worker` is theirs (ThreadPool::run).
    void add(std::size_t begin, std::size_t end, float* x, std::uint32_t worker) noexcept;

    /// Bytes of a row on the wire.
    std::size_t row_bytes() const noexcept { return row_bytes_; }

  private:
    Status gather(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                  const float* partial);
    Status scatter(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                   const float* partial);
    void cut(std::uint32_t rank, std::uint32_t devices);
    void encode_parts(const float* partial, std::size_t rows, std::size_t begin,
                      std::size_t end) noexcept;
    void add_own_part(std::size_t begin, std::size_t end, std::uint32_t worker) noexcept;
    const float* sum(std::size_t row, std::size_t row_bytes, std::size_t columns,
                     std::uint32_t worker) noexcept;
    std::size_t width(std::size_t rank) const noexcept { return begins_[rank + 1] - begins_[rank]; }

    const kernels::Table& kernels_;
    const PayloadCode code_;
    const std::size_t dim_, max_rows_, row_bytes_;
    const std::uint32_t scatter_rows_;
    std::vector<std::byte> payload_;  // partial sums: rows, or in two hops parts of rows
    std::vector<std::span<const std::byte>> received_;
    const float* alone_ = nullptr;  // the partial sums of a plan of one device

    // With scatter_rows alone.
    bool scattered_ = false;             // the last exchange went in two hops
    std::uint32_t own_ = 0;              // this device's rank
    std::vector<std::uint32_t> begins_;  // first column of each rank's part, and the end
    std::vector<std::span<const std::byte>> parts_;
    std::vector<std::byte> own_sums_;  // (rows, own part), coded
    std::vector<float> sum_;           // (threads, dim)
    std::vector<std::byte> coded_;     // (threads, a row)
};

/// The first column of a rank's part of `dim` columns, cut for `devices` on multiples of `step`, as
/// evenly as these allow. With more devices than steps some parts are empty. Rank `devices`: dim.
constexpr std::uint32_t part_begin(std::uint32_t dim, std::uint32_t step, std::uint32_t devices,
                                   std::uint32_t rank) noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{dim / step} * rank / devices) * step;
}

}  // namespace shoal::exec
