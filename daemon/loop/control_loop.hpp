// The daemon's control thread: polls descriptors, runs what other threads post, keeps timers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/metrics/histogram.hpp"

namespace shoal {

/// run() is called by one thread, which owns everything but post() and stop().
class ControlLoop final : public Loop {
  public:
    /// Something to be polled. `deadline` may be any time: one that has passed, such as
    /// Clock::time_point(), means at once, and Clock::time_point::max() never.
    struct Source {
        std::function<std::vector<int>()> descriptors;
        std::function<Clock::time_point()> deadline;
        Task work;  ///< called when a descriptor is readable, the deadline passed, or by the way
        const char* name = "a source";  ///< for the watchdog; lasting
    };

    /// Throws std::system_error when the process has no descriptor left.
    ControlLoop();
    ~ControlLoop() override;
    ControlLoop(const ControlLoop&) = delete;
    ControlLoop& operator=(const ControlLoop&) = delete;

    void add(Source source) { sources_.push_back(std::move(source)); }
    Time now() const noexcept override { return Clock::now(); }
    Timer at(Time when, Task task, const char* name = "a timer") override;
    void post(Task task, const char* name = "a posted task") override;
    /// Thread-safe and async-signal-safe.
    void stop() noexcept;

    /// The loop turns soon. Thread-safe and async-signal-safe.
    void wake() noexcept;

    /// Works until stop(). It turns twice a second at least, unless something keeps it.
    void run();

    /// Thread-safe: how often it turned, and the name of what it is in.
    std::uint64_t turns() const noexcept { return turns_; }
    const char* doing() const noexcept { return doing_; }
    /// Thread-safe: seconds from when each turn was due until it was over, which is what a message
    /// or a timer waits at most.
    Histogram delays() const;

  private:
    struct Named {
        Task task;
        const char* name;
    };

    void run(const Named& named);
    void run_posted();
    void run_timers();
    Clock::time_point deadline() const;
    void poll_until(Clock::time_point when);

    std::vector<Source> sources_;
    std::multimap<Clock::time_point, std::weak_ptr<const Named>> timers_;
    mutable std::mutex mutex_;
    std::vector<Named> posted_;        // guarded by mutex_
    Histogram delays_{kSecondBounds};  // as well
    std::atomic<std::uint64_t> turns_{0};
    std::atomic<const char*> doing_{"nothing yet"};
    std::atomic<bool> stopping_{false};
    int wake_descriptor_;
};

}  // namespace shoal
