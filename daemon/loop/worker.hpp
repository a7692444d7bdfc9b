// A thread for what takes long and is nobody's inner loop: hashing files, opening models, making
// tokens of texts.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "daemon/loop/loop.hpp"

namespace shoal {

/// Thread-safe. Tasks run one after another, in order; those left at destruction are dropped.
class Worker final : public Background {
  public:
    /// `name` is the thread's, for those who look at the process; at most 15 characters.
    explicit Worker(std::string name = "worker");
    ~Worker() override { stop(); }

    std::stop_source post(Task task) override;
    using Background::post;
    /// Stops the task that it is at and ends the thread. For an owner whose tasks use what goes
    /// before the worker does.
    void stop();

  private:
    struct Posted {
        Task run;
        std::stop_source stop;
    };

    void main(const std::stop_token& stop);

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Posted> tasks_;  // guarded by mutex_
    std::jthread thread_;       // last: it stops before what it uses goes
};

}  // namespace shoal
