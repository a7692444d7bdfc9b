// The daemon's control thread: polls descriptors, runs what other threads post, keeps timers.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace shoal {

/// run() is called by one thread, which owns everything but post() and stop().
class ControlLoop {
  public:
    using Clock = std::chrono::steady_clock;
    using Task = std::function<void()>;

    /// Something to be polled. `deadline` may be Clock::time_point::max().
    struct Source {
        std::function<std::vector<int>()> descriptors;
        std::function<Clock::time_point()> deadline;
        Task work;  ///< called when a descriptor is readable, the deadline passed, or by the way
    };

    /// Throws std::system_error when the process has no descriptor left.
    ControlLoop();
    ~ControlLoop();
    ControlLoop(const ControlLoop&) = delete;
    ControlLoop& operator=(const ControlLoop&) = delete;

    void add(Source source) { sources_.push_back(std::move(source)); }
    /// Run a task at a time; not before run() is called.
    void at(Clock::time_point when, Task task) { timers_.emplace(when, std::move(task)); }

    /// Thread-safe: run a task on the loop's thread, in order of posting.
    void post(Task task);
    /// Thread-safe and async-signal-safe.
    void stop() noexcept;

    /// Works until stop().
    void run();

  private:
    void wake() noexcept;
    void run_posted();
    void run_timers();
    Clock::time_point deadline() const;
    void poll_until(Clock::time_point when);

    std::vector<Source> sources_;
    std::multimap<Clock::time_point, Task> timers_;
    std::mutex mutex_;
    std::vector<Task> posted_;  // guarded by mutex_
    std::atomic<bool> stopping_{false};
    int wake_descriptor_;
};

}  // namespace shoal
