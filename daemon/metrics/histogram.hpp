// How values are spread: how many there were up to each of a few fixed bounds, exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace shoal {

/// For times of any kind, a token's or a model's loading.
inline constexpr double kSecondBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                           0.1,    0.25,  0.5,    1,     2.5,  5,     10,
                                           25,     50,    100,    250,   500,  1000};
inline constexpr double kTokenBounds[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                          500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

/// Externally synchronised.
class Histogram {
  public:
    /// `bounds` rise, and outlive it.
    explicit Histogram(std::span<const double> bounds)
        : bounds_(bounds), counts_(bounds.size() + 1) {}

    /// Below 0 is 0: clocks of other devices are what they are. What is no number is left out.
    void add(double value) {
        if (!std::isfinite(value)) return;
        value = std::max(0.0, value);
        const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
        ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
        sum_ += value;
    }

    std::span<const double> bounds() const noexcept { return bounds_; }
    /// (bounds + 1,) values up to a bound and above the one before; the last: above all of them.
    const std::vector<std::uint64_t>& counts() const noexcept { return counts_; }
    std::uint64_t count() const noexcept {
        return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
    }
    double sum() const noexcept { return sum_; }

  private:
    std::span<const double> bounds_;
    std::vector<std::uint64_t> counts_;
    double sum_ = 0;
};

}  // namespace shoal
