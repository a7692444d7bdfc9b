// What deciding code sees of the world's time and threads: the control loop, or a test's.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <utility>

namespace shoal {

/// A task that waits for its time. Cancelled when the last handle is gone.
using Timer = std::shared_ptr<const void>;

/// One thread that decides. All but post() is for that thread.
class Loop {
  public:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;
    using Task = std::function<void()>;

    virtual ~Loop() = default;

    virtual Time now() const noexcept = 0;
    /// Run a task at a time; not before this call has returned. Names are for the watchdog, and
    /// last.
    [[nodiscard]] virtual Timer at(Time when, Task task, const char* name = "a timer") = 0;
    [[nodiscard]] Timer after(Clock::duration wait, Task task, const char* name = "a timer") {
        return at(now() + wait, std::move(task), name);
    }
    /// Thread-safe: run a task on the loop's thread, in order of posting.
    virtual void post(Task task, const char* name = "a posted task") = 0;
};

/// Where the loop's thread has done what takes long: one task after another, in order.
/// Thread-safe.
class Background {
  public:
    /// A stop is requested of its token when nobody wants its outcome any more: it then returns
    /// soon.
    using Task = std::function<void(const std::stop_token&)>;

    virtual ~Background() = default;

    /// `task` must not throw. Its stop source: a task is run also when it has been stopped before,
    /// so that it can say so.
    virtual std::stop_source post(Task task) = 0;
    /// The same for a task that never takes long, or that is stopped by other means.
    void post(std::function<void()> task) {
        post(Task([task = std::move(task)](const std::stop_token&) { task(); }));
    }
};

}  // namespace shoal
