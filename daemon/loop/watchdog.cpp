#include "daemon/loop/watchdog.hpp"

#include <pthread.h>

#include <utility>

namespace shoal {

StallCounter::Finding StallCounter::look(std::uint64_t turns) noexcept {
    if (over_) looks_ = 0;
    if (turns != turns_) {
        turns_ = turns;
        over_ = true;
        return looks_ >= stalled_after_ ? Finding::recovered : Finding::none;
    }
    over_ = false;
    ++looks_;
    if (looks_ >= hopeless_after_) return Finding::hopeless;
    return looks_ == stalled_after_ ? Finding::stalled : Finding::none;
}

Watchdog::Watchdog(std::vector<Watched> watched, Reports reports, Limits limits)
    : reports_(std::move(reports)), limits_(limits) {
    for (Watched& w : watched) {
        entries_.push_back({std::move(w),
                            StallCounter(static_cast<int>(limits.stalled / limits.look),
                                         static_cast<int>(limits.hopeless / limits.look)),
                            ""});
    }
    thread_ = std::jthread([this](const std::stop_token& stop) {
        ::pthread_setname_np(::pthread_self(), "watchdog");
        watch(stop);
    });
}

void Watchdog::look(Entry& entry) {
    const auto finding = entry.counter.look(entry.watched.turns());
    const auto stood = entry.counter.looks() * limits_.look;
    switch (finding) {
        case StallCounter::Finding::none:
            return;
        case StallCounter::Finding::stalled:
            entry.doing = entry.watched.doing();
            return reports_.stalled(entry.doing, stood);
        case StallCounter::Finding::recovered:
            return reports_.recovered(entry.doing, stood);
        case StallCounter::Finding::hopeless:
            return reports_.hopeless(entry.doing, stood);
    }
}

void Watchdog::watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        wake_.wait_for(lock, stop, limits_.look, [] { return false; });
        if (stop.stop_requested()) return;
        for (Entry& entry : entries_) look(entry);
    }
}

}  // namespace shoal
