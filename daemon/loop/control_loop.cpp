#include "daemon/loop/control_loop.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace shoal {
namespace {

// ZeroMQ's descriptors signal edges. Sources read until there is nothing more, so that none is
// missed; should one be all the same, it is not for long. Each turn wakes a core that may sleep.
constexpr auto kLongestWait = std::chrono::milliseconds(500);

}  // namespace

ControlLoop::ControlLoop() : wake_descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

ControlLoop::~ControlLoop() {
    close(wake_descriptor_);
}

void ControlLoop::wake() noexcept {
    const std::uint64_t one = 1;
    // A full counter means that the loop has been woken already.
    [[maybe_unused]] const auto written = write(wake_descriptor_, &one, sizeof one);
}

Timer ControlLoop::at(Time when, Task task, const char* name) {
    auto timer = std::make_shared<const Named>(Named{std::move(task), name});
    timers_.emplace(when, timer);
    return timer;
}

void ControlLoop::post(Task task, const char* name) {
    {
        const std::lock_guard lock(mutex_);
        posted_.push_back({std::move(task), name});
    }
    wake();
}

void ControlLoop::stop() noexcept {
    stopping_ = true;
    wake();
}

Histogram ControlLoop::delays() const {
    const std::lock_guard lock(mutex_);
    return delays_;
}

void ControlLoop::run() {
    auto due = Clock::now();
    while (!stopping_) {
        ++turns_;
        run_posted();
        run_timers();
        for (const Source& source : sources_) {
            doing_ = source.name;
            source.work();
        }
        if (stopping_) return;
        doing_ = "waiting for something to do";
        const auto over = Clock::now();
        {
            const std::lock_guard lock(mutex_);
            delays_.add(std::chrono::duration<double>(over - due).count());
        }
        const auto wanted = std::max(over, deadline());
        poll_until(wanted);
        due = std::min(wanted, Clock::now());
    }
}

void ControlLoop::run(const Named& named) {
    doing_ = named.name;
    named.task();
}

void ControlLoop::run_posted() {
    std::vector<Named> tasks;
    {
        const std::lock_guard lock(mutex_);
        tasks.swap(posted_);
    }
    for (const Named& task : tasks) run(task);
}

void ControlLoop::run_timers() {
    const auto now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first <= now) {
        const auto timer = timers_.begin()->second.lock();
        timers_.erase(timers_.begin());
        if (timer) run(*timer);
    }
}

ControlLoop::Clock::time_point ControlLoop::deadline() const {
    auto when = Clock::now() + kLongestWait;
    if (!timers_.empty()) when = std::min(when, timers_.begin()->first);
    for (const Source& source : sources_) when = std::min(when, source.deadline());
    return when;
}

void ControlLoop::poll_until(Clock::time_point when) {
    std::vector<pollfd> polled{{wake_descriptor_, POLLIN, 0}};
    for (const Source& source : sources_) {
        for (const int descriptor : source.descriptors()) {
            polled.push_back({descriptor, POLLIN, 0});
        }
    }
    // Compared, not subtracted: a deadline may be any time, the least included.
    const auto now = Clock::now();
    const auto wait = when <= now ? std::chrono::milliseconds(0)
                                  : std::chrono::ceil<std::chrono::milliseconds>(when - now);
    poll(polled.data(), polled.size(), static_cast<int>(wait.count()));
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read_bytes = read(wake_descriptor_, &count, sizeof count);
}

}  // namespace shoal
