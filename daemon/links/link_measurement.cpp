#include "daemon/links/link_measurement.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace shoal {
namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::span<const std::byte>;

// Before what is counted: caches, windows and clocks of processors come up.
constexpr int kWarmUp = 10;
// One of the two may be ahead: then it waits for nothing in one exchange and twice in the next. So
// some are timed together.
constexpr int kTogether = 4;
// Bursts of nothing, the quickest of which is what a burst takes besides its bytes.
constexpr int kEmptyBursts = 9;
// Of the last size, each way; the quickest counts, as others are slow for what else a device does.
constexpr int kBursts = 3;
// A burst takes at least this part of its time for its bytes, whatever an empty one took.
constexpr double kLeastPart = 0.25;

// What rank 0 says with each small exchange: what comes next.
struct Next {
    enum Kind : std::uint8_t { small = 1, out = 2, in = 3, end = 4 };
    std::uint8_t kind = small;
    std::uint32_t bytes = 0;  // of a burst
};

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Either rank's calls.
class Talk {
  public:
    explicit Talk(mesh::Exchange& exchange)
        : exchange_(exchange),
          small_(LinkMeasurement::kSmallBytes),
          burst_(LinkMeasurement::kMostBurst) {}

    // A small exchange; what rank 0 says comes next. False when the exchange is over.
    bool small(Next& next) {
        small_[0] = std::byte{next.kind};
        for (std::size_t i = 0; i < sizeof next.bytes; ++i) {
            small_[1 + i] = static_cast<std::byte>(next.bytes >> 8 * i);
        }
        if (exchange_.all_gather(small_, theirs_) != mesh::ExchangeStatus::ok) return false;
        const Bytes said = theirs_[0];
        if (said.size() != LinkMeasurement::kSmallBytes) return false;
        next = {std::to_integer<std::uint8_t>(said[0]), 0};
        for (std::size_t i = 0; i < sizeof next.bytes; ++i) {
            next.bytes |= std::to_integer<std::uint32_t>(said[1 + i]) << 8 * i;
        }
        return true;
    }
    bool burst(const Next& next) {
        if (next.bytes > LinkMeasurement::kMostBurst) return false;
        const bool mine = (next.kind == Next::out) == (exchange_.rank() == 0);
        std::array<Bytes, 2> parts{};
        if (mine) parts[1 - exchange_.rank()] = Bytes(burst_).first(next.bytes);
        return exchange_.all_to_all(parts, theirs_) == mesh::ExchangeStatus::ok;
    }

  private:
    mesh::Exchange& exchange_;
    std::vector<std::byte> small_, burst_;
    std::vector<Bytes> theirs_;
};

bool answer(Talk& talk) {
    for (;;) {
        Next next;
        if (!talk.small(next)) return false;
        switch (next.kind) {
            case Next::small:
                break;
            case Next::out:
            case Next::in:
                if (!talk.burst(next)) return false;
                break;
            case Next::end:
                return true;
            default:
                return false;
        }
    }
}

// Rank 0's part. Each small exchange announces what follows it, so one is always ahead.
class Asking {
  public:
    explicit Asking(Talk& talk) : talk_(talk) {}

    bool run(LinkFigures& figures) {
        for (int i = 0; i < kWarmUp; ++i) say({Next::small, 0});
        std::vector<double> times;
        const Clock::time_point begin = Clock::now();
        while (ok_ && times.size() < LinkMeasurement::kExchanges / kTogether &&
               (times.empty() || Clock::now() - begin < LinkMeasurement::kExchangesTime)) {
            const Clock::time_point some = Clock::now();
            for (int i = 0; i < kTogether; ++i) say({Next::small, 0});
            times.push_back(seconds_since(some) / kTogether);
        }
        if (!ok_) return false;
        figures.exchange_seconds = median(std::move(times));
        bursts_began_ = Clock::now();
        figures.out_bytes_per_second = speed(Next::out);
        // Half of the time was for one way.
        bursts_began_ = Clock::now();
        figures.in_bytes_per_second = speed(Next::in);
        say({Next::end, 0});
        return ok_;
    }

  private:
    void say(Next next) { ok_ = ok_ && talk_.small(next); }

    // Seconds of a burst, from before the other can know of it until it is known to have it.
    double burst(Next next) {
        const Clock::time_point begin = Clock::now();
        say(next);
        ok_ = ok_ && talk_.burst(next);
        say({Next::small, 0});
        return seconds_since(begin);
    }

    double speed(Next::Kind kind) {
        std::vector<double> empty;
        for (int i = 0; ok_ && i < kEmptyBursts && (i == 0 || !late()); ++i) {
            empty.push_back(burst({kind, 0}));
        }
        if (!ok_) return 0;
        const double besides = *std::min_element(empty.begin(), empty.end());
        std::uint32_t bytes = LinkMeasurement::kLeastBurst;
        const auto enough = std::chrono::duration<double>(LinkMeasurement::kBurstTime).count();
        double last = burst({kind, bytes});
        while (ok_ && !late() && last < enough && bytes < LinkMeasurement::kMostBurst) {
            bytes *= 2;
            last = burst({kind, bytes});
        }
        std::vector<double> times{last};
        while (ok_ && !late() && times.size() < kBursts) times.push_back(burst({kind, bytes}));
        const double whole = *std::min_element(times.begin(), times.end());
        return bytes / std::max(whole - besides, kLeastPart * whole);
    }
    bool late() const { return Clock::now() - bursts_began_ > LinkMeasurement::kBurstsTime / 2; }

    Talk& talk_;
    bool ok_ = true;
    Clock::time_point bursts_began_;
};

}  // namespace

LinkMeasurement measure_link(mesh::Exchange& exchange) {
    assert(exchange.size() == 2);
    Talk talk(exchange);
    LinkMeasurement out;
    LinkFigures figures;
    const bool ok = exchange.rank() == 0 ? Asking(talk).run(figures) : answer(talk);
    if (!ok) {
        out.error = exchange.failure().what;
        if (out.error.empty()) out.error = "the other device does something else";
    } else if (exchange.rank() == 0) {
        out.figures = figures;
    }
    return out;
}

}  // namespace shoal
