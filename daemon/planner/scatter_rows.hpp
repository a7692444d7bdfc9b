// When partial sums go in two hops.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::planner {

/// What an exchange is taken to cost unless it was measured: this wait, and bytes at 1 Gbit/s.
inline constexpr std::uint64_t kExchangeNanoseconds = 250'000;
inline constexpr std::uint64_t kNanosecondsPerByte = 8;

/// The least rows of `row_bytes` whose sums `devices` have sooner in two hops (exec::AllReduce); 0:
/// never. One hop takes a wait and (P-1) N bytes of each device, two take two and 2 (P-1)/P N; so
/// they pay where (P-1)(P-2)/P N bytes take longer than a wait. Requires: row_bytes != 0.
/// `wait_bytes`: what a link carries in the time of a wait.
constexpr std::uint64_t scatter_rows(std::uint64_t devices, std::uint64_t row_bytes,
                                     std::uint64_t wait_bytes = kExchangeNanoseconds /
                                                                kNanosecondsPerByte) noexcept {
    if (devices <= 2) return 0;
    return wait_bytes * devices / ((devices - 1) * (devices - 2) * row_bytes) + 1;
}

}  // namespace shoal::planner
