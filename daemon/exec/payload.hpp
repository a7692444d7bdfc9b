// Partial sums as bytes: the forms in which they travel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

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

/// The code of one form. Columns are coded apart from others, those of a block together, so a row
/// has the same bytes coded whole or in parts. Thread-safe.
class PayloadCode {
  public:
    /// For rows `dim` wide; `kernels` outlives it.
    PayloadCode(const kernels::Table& kernels, PayloadType type, std::uint32_t dim) noexcept;

    /// Where rows may be cut: at multiples of this.
    std::uint32_t step() const noexcept { return step_; }
    /// Of n columns. Requires here and below: n is a multiple of step().
    std::size_t bytes(std::size_t n) const noexcept;
    /// x (n,) to bytes(n). Requires: `out` has the alignment of 2 in f16.
    void encode(const float* x, std::byte* out, std::size_t n) const noexcept;
    /// y[i] += the values, one rounding each. `in` needs no alignment.
    void accumulate(const std::byte* in, float* y, std::size_t n) const noexcept;

  private:
    const kernels::Table& kernels_;
    PayloadType type_;
    std::uint32_t step_;
};

}  // namespace shoal::exec
