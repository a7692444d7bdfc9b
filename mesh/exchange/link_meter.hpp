// What is seen of the link to one device of a plan: written by the thread that exchanges, read by
// any other at any time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "mesh/exchange/count.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh {

/// A link at one moment. Counts are of all plans since the start, waits of the latest.
struct LinkReport {
    DeviceId peer;
    std::string transport;                             ///< "zmtp", "libzmq"
    std::string cipher;                                ///< "AES-256-GCM", "CURVE", "none"
    std::uint64_t sent_bytes = 0, received_bytes = 0;  ///< of frames
    std::uint64_t resent = 0;                          ///< frames that it had to be sent again
    std::uint64_t asked = 0;                           ///< times that it was asked for a frame
    std::uint64_t collectives = 0;                     ///< in which it was waited for
    /// From when a collective began here until the device's part was there: the network, and how
    /// much longer the device computed. Median and 99th percentile, to a fifth; 0 without any.
    double wait_p50_us = 0, wait_p99_us = 0;
};

namespace exchange {

class LinkMeter {
  public:
    void sent(std::size_t bytes) noexcept { sent_bytes_ += bytes; }
    void received(std::size_t bytes) noexcept { received_bytes_ += bytes; }
    void resent() noexcept { ++resent_; }
    void asked() noexcept { ++asked_; }
    void waited(std::chrono::nanoseconds time) noexcept {
        const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count() / 1000));
        ++waits_[bucket(us)];
    }

    LinkReport read() const {
        LinkReport report;
        report.sent_bytes = sent_bytes_;
        report.received_bytes = received_bytes_;
        report.resent = resent_;
        report.asked = asked_;
        std::array<std::uint64_t, kBuckets> waits;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            waits[i] = waits_[i];
            report.collectives += waits[i];
        }
        report.wait_p50_us = percentile(waits, report.collectives, 0.50);
        report.wait_p99_us = percentile(waits, report.collectives, 0.99);
        return report;
    }

  private:
    // Four to an octave, up to some hours.
    static constexpr std::size_t kBuckets = 4 * 32;

    static std::size_t bucket(std::uint64_t us) noexcept {
        if (us < 4) return static_cast<std::size_t>(us);
        const auto octave = static_cast<std::size_t>(std::bit_width(us)) - 1;
        return std::min(kBuckets - 1, 4 * (octave - 1) + (us >> (octave - 2) & 3));
    }
    /// The middle of a bucket.
    static double value(std::size_t bucket) noexcept {
        if (bucket < 4) return static_cast<double>(bucket);
        const auto unit = static_cast<double>(std::uint64_t{1} << (bucket / 4 - 1));
        return (4 + static_cast<double>(bucket % 4) + 0.5) * unit;
    }
    static double percentile(const std::array<std::uint64_t, kBuckets>& waits, std::uint64_t count,
                             double part) noexcept {
        const auto rank = static_cast<std::uint64_t>(part * static_cast<double>(count));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            seen += waits[i];
            if (seen > rank) return value(i);
        }
        return 0;
    }

    Count sent_bytes_, received_bytes_, resent_, asked_;
    std::array<Count, kBuckets> waits_;
};

}  // namespace exchange
}  // namespace shoal::mesh
