// How a port sleeps on its descriptors.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <span>

#include "mesh/exchange/port.hpp"

namespace shoal::mesh::exchange {

/// poll() with a limit of any length, as exact as the system has it. How many are ready, or -1
/// after a signal.
inline int poll_for(std::span<pollfd> descriptors, Clock::duration at_most) noexcept {
    using std::chrono::nanoseconds;
    const auto ns = std::clamp<nanoseconds>(at_most, {}, std::chrono::hours(1));
    const timespec limit{static_cast<time_t>(ns.count() / 1'000'000'000),
                         static_cast<long>(ns.count() % 1'000'000'000)};
    return ::ppoll(descriptors.data(), descriptors.size(), &limit, nullptr);
}

}  // namespace shoal::mesh::exchange
