// How long work takes. Private to this folder.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <stop_token>
#include <utility>

namespace shoal::measure {

/// Times passes of one part of a measurement.
class Passes {
  public:
    using Clock = std::chrono::steady_clock;

    /// Each part takes `time`, or two passes when these take longer; no more passes once a stop is
    /// requested.
    Passes(Clock::duration time, std::stop_token stop) : time_(time), stop_(std::move(stop)) {}

    bool stopped() const noexcept { return stop_.stop_requested(); }
    double seconds() const noexcept { return std::chrono::duration<double>(time_).count(); }

    /// Seconds of the quickest pass: what others do on the device meanwhile is not its speed. The
    /// first warms caches, and the clock of the CPU.
    template <typename Fn>
    double quickest(const Fn& pass) const {
        const auto end = Clock::now() + time_;
        double best = once(pass);
        do {
            if (stopped()) break;
            best = std::min(best, once(pass));
        } while (Clock::now() < end);
        return best;
    }

    template <typename Fn>
    static double once(const Fn& pass) {
        const auto start = Clock::now();
        pass();
        // Never 0, which nothing can be divided by.
        return std::chrono::duration<double>(
                   std::max(Clock::now() - start, Clock::duration(std::chrono::nanoseconds(1))))
            .count();
    }

  private:
    Clock::duration time_;
    std::stop_token stop_;
};

/// Ordinary weights, whatever type and layout they are read as: 16-bit floats of 1, 32-bit floats
/// and scales that are no subnormals, small codes.
inline void fill_weights(std::span<std::byte> bytes) noexcept {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i % 2 == 0 ? 0x00 : 0x3C);
}

}  // namespace shoal::measure
