// How far away a device is.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace shoal::mesh::membership {

/// The least of the latest round trips: what the network takes when neither side is busy.
/// A mean would mostly measure how long the other control thread slept.
class RoundTrip {
  public:
    static constexpr std::size_t kWindow = 8;

    void add(std::chrono::microseconds sample) noexcept {
        samples_[count_++ % kWindow] = std::max(sample, std::chrono::microseconds(0));
    }
    /// -1 when nothing was measured yet.
    std::chrono::microseconds get() const noexcept {
        if (count_ == 0) return std::chrono::microseconds(-1);
        return *std::min_element(samples_.begin(), samples_.begin() + std::min(count_, kWindow));
    }

  private:
    std::array<std::chrono::microseconds, kWindow> samples_{};
    std::size_t count_ = 0;
};

}  // namespace shoal::mesh::membership
