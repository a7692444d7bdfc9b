// A thread for what takes long and is nobody's inner loop: hashing files, opening models,
// tokenising for its own sake.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace shoal {

/// Thread-safe. Tasks run one after another, in order; those left at destruction are dropped.
class Worker {
  public:
    Worker();
    ~Worker() { stop(); }

    /// `task` must not throw.
    void post(std::function<void()> task);
    /// Ends the thread after the task that it is at. For an owner whose tasks use what goes
    /// before the worker does.
    void stop();

  private:
    void main(const std::stop_token& stop);

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<std::function<void()>> tasks_;  // guarded by mutex_
    std::jthread thread_;                      // last: it stops before what it uses goes
};

}  // namespace shoal
