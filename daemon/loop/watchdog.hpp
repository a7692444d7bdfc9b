// Notices that something which must go on for ever has stopped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shoal {

/// Counts its own looks rather than time: when the whole process was stopped, or the machine slept,
/// it did not look either, and nothing is found to have stood still.
class StallCounter {
  public:
    enum class Finding : std::uint8_t {
        none,
        stalled,    ///< once, at `stalled_after`
        recovered,  ///< once, if it was stalled
        hopeless,   ///< from `hopeless_after` on
    };
    StallCounter(int stalled_after, int hopeless_after)
        : stalled_after_(stalled_after), hopeless_after_(hopeless_after) {}

    Finding look(std::uint64_t turns) noexcept;
    /// Looks in a row that found no progress; of a stall that is over, until the next look.
    int looks() const noexcept { return looks_; }

  private:
    const int stalled_after_, hopeless_after_;
    std::uint64_t turns_ = 0;
    int looks_ = 0;
    bool over_ = true;
};

/// A thread that looks at things which turn by themselves several times between two looks.
class Watchdog {
  public:
    /// Its functions are called on the watchdog's thread.
    struct Watched {
        std::function<std::uint64_t()> turns;
        std::function<std::string()> doing;  ///< what it is in, for a person
    };
    /// Called on the watchdog's thread, with what stands still and for how long.
    struct Reports {
        using Report = std::function<void(const std::string& doing, std::chrono::milliseconds)>;
        Report stalled, recovered, hopeless;
    };
    struct Limits {
        std::chrono::milliseconds look{500};
        std::chrono::milliseconds stalled{5'000};
        std::chrono::milliseconds hopeless{60'000};
    };

    Watchdog(std::vector<Watched> watched, Reports reports, Limits limits);
    Watchdog(std::vector<Watched> watched, Reports reports)
        : Watchdog(std::move(watched), std::move(reports), Limits()) {}

  private:
    struct Entry {
        Watched watched;
        StallCounter counter;
        std::string doing;  // when it was found to stand still
    };
    void look(Entry& entry);
    void watch(const std::stop_token& stop);

    const Reports reports_;
    const Limits limits_;
    std::vector<Entry> entries_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::jthread thread_;  // last: it uses all of the above
};

}  // namespace shoal
