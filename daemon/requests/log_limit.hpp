// Log lines that others can cause as often as they like.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "mesh/discovery/rate_limit.hpp"

namespace shoal {

/// Owned by one thread. Lets a burst of warnings through and then one a second, which says how many
/// were left out.
class LogLimit {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr double kPerSecond = 1, kBurst = 10;

    /// What is to be written of a line; empty: nothing.
    std::string take(std::string line, Time now);
    void warn(std::string line);

  private:
    mesh::discovery::TokenBucket bucket_{kPerSecond, kBurst, Time()};
    std::uint64_t left_out_ = 0;
};

}  // namespace shoal
