// The sum of every device's partial result, bit-identical on all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// How partial results travel. Blocks of 32 (q8_0, q16) need a width that is a multiple of 32;
/// other widths travel as f32.
enum class PayloadType : std::uint8_t { q8_0, q16, f16, f32 };

constexpr const char* name(PayloadType type) noexcept {
    switch (type) {
        case PayloadType::q8_0:
            return "q8_0";
        case PayloadType::q16:
            return "q16";
        case PayloadType::f16:
            return "f16";
        case PayloadType::f32:
            return "f32";
    }
    return "";
}
std::optional<PayloadType> payload_type(std::string_view name) noexcept;

/// Owned by the thread that runs the steps.
class AllReduce {
  public:
    /// `max_values`: the largest rows * dim of a call.
    AllReduce(const kernels::Table& kernels, PayloadType type, std::uint32_t dim,
              std::size_t max_values);

    /// Give every device every device's partial sums: partial (rows, dim), not written before
    /// the last add(). Null when this device's share is empty; it then sends an empty payload,
    /// which adds nothing.
    Status exchange(Collective& collective, ThreadPool& pool, std::size_t rows,
                    const float* partial);

    /// x[i] += sum over ranks, in rank order, of their partial[i] of the last exchange, as decoded
    /// from the payload: every device adds the same bytes, its own too. One rounding per addition.
    /// x: (rows, dim), of which the rows [begin, end). Threads may add different rows at a time.
    void add(std::size_t begin, std::size_t end, float* x) const noexcept;

    /// Bytes that a row takes on the wire.
    std::size_t row_bytes() const noexcept { return row_bytes_; }

  private:
    void encode(const float* partial, std::size_t begin, std::size_t end) noexcept;
    void accumulate(std::span<const std::byte> payload, std::size_t begin, std::size_t end,
                    float* x) const noexcept;

    const kernels::Table& kernels_;
    PayloadType type_;
    std::uint32_t dim_;
    std::size_t row_bytes_;
    std::vector<std::byte> payload_;
    std::vector<std::span<const std::byte>> received_;
    const float* alone_ = nullptr;  // the partial sums of a plan of one device
};

}  // namespace shoal::exec
