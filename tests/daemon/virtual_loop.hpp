// Time, a loop and long work that pass when a test says so, all on the test's thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "daemon/loop/loop.hpp"

namespace shoal::tests {

/// What happens when, for any number of loops. What is due at one time happens in the order in
/// which it was asked for.
class VirtualTime {
  public:
    using Clock = Loop::Clock;
    using Time = Loop::Time;

    Time now() const noexcept { return now_; }
    Timer at(Time when, Loop::Task task) {
        auto timer = std::make_shared<const Loop::Task>(std::move(task));
        waiting_.emplace(std::max(when, now_), timer);
        return timer;
    }

    /// When the next thing happens; nothing: never, which ends a test that waits for something.
    std::optional<Time> next() {
        while (!waiting_.empty() && waiting_.begin()->second.expired()) {
            waiting_.erase(waiting_.begin());
        }
        return waiting_.empty() ? std::nullopt : std::optional(waiting_.begin()->first);
    }
    /// Lets the next thing happen; false when there is none.
    bool step() {
        if (!next()) return false;
        const auto timer = waiting_.begin()->second.lock();
        now_ = waiting_.begin()->first;
        waiting_.erase(waiting_.begin());
        (*timer)();
        return true;
    }
    /// Lets time pass, with what is due meanwhile.
    void pass(Clock::duration time) {
        const Time end = now_ + time;
        for (auto when = next(); when && *when <= end; when = next()) step();
        now_ = end;
    }
    /// Does what can be done now.
    void settle() { pass(Clock::duration::zero()); }

  private:
    Time now_ = Time() + std::chrono::hours(1);  // there is a past
    std::multimap<Time, std::weak_ptr<const Loop::Task>> waiting_;
};

/// One device's loop. What it was to do is forgotten when it goes, as in a crash.
class VirtualLoop final : public Loop {
  public:
    explicit VirtualLoop(VirtualTime& time) : time_(time) {}

    Time now() const noexcept override { return time_.now(); }
    Timer at(Time when, Task task, const char* /*name*/ = "a timer") override {
        return time_.at(when, std::move(task));
    }
    /// The test's thread only.
    void post(Task task, const char* /*name*/ = "a posted task") override {
        posted_.push_back(std::move(task));
        if (posted_.size() == 1) turn();
    }

  private:
    // One task a turn, so that loops of one time take turns.
    void turn() {
        turn_ = time_.at(now(), [this] {
            const Task task = std::move(posted_.front());
            posted_.pop_front();
            if (!posted_.empty()) turn();
            task();
        });
    }

    VirtualTime& time_;
    std::deque<Task> posted_;
    Timer turn_;
};

/// Long work, each task of which takes so long and happens at its end.
class VirtualBackground final : public Background {
  public:
    explicit VirtualBackground(VirtualTime& time,
                               Loop::Clock::duration takes = Loop::Clock::duration::zero())
        : time_(time), takes_(takes) {}

    std::stop_source post(Task task) override {
        tasks_.push_back({std::move(task), {}});
        const std::stop_source stop = tasks_.back().stop;
        if (tasks_.size() == 1) turn();
        return stop;
    }
    using Background::post;

  private:
    struct Posted {
        Task run;
        std::stop_source stop;
    };
    void turn() {
        turn_ = time_.at(time_.now() + takes_, [this] {
            const Posted task = std::move(tasks_.front());
            tasks_.pop_front();
            if (!tasks_.empty()) turn();
            task.run(task.stop.get_token());
        });
    }

    VirtualTime& time_;
    const Loop::Clock::duration takes_;
    std::deque<Posted> tasks_;
    Timer turn_;
};

}  // namespace shoal::tests
