#include "daemon/exec/thread_pool.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cassert>
#include <chrono>
#include <climits>
#include <string>
#include <utility>

namespace shoal::exec {
namespace {

// How long a thread spins before it sleeps. Two loops of a step lie up to a few microseconds
// apart, and waking a sleeper costs some five: spinning a few times that long loses little where
// sleeping would have been right, and much is won where it would not. Beyond it, what the caller
// waits for is the network or the next request, and the core belongs to the data plane's I/O
// thread and to other programs.
constexpr std::chrono::nanoseconds kSpinTime = std::chrono::microseconds(20);

// Set in helped_ while the caller sleeps.
constexpr std::uint32_t kCallerSleeps = 1U << 31;

void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
}

// The instruction takes 5 ns on one CPU and 50 on the next, so its number is measured.
std::uint32_t spin_rounds() noexcept {
    using Clock = std::chrono::steady_clock;
    constexpr std::uint32_t kRounds = 128;
    auto quickest = Clock::duration::max();
    for (int i = 0; i < 3; ++i) {
        const auto start = Clock::now();
        for (std::uint32_t r = 0; r < kRounds; ++r) relax();
        quickest = std::min(quickest, Clock::now() - start);
    }
    const auto rounds = kRounds * kSpinTime / std::max(quickest, Clock::duration(1));
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(rounds, 16, 100'000));
}

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t) &&
              std::atomic<std::uint32_t>::is_always_lock_free);

// Sleeps while `word` is `value`; may return early. The futex is used directly because
// std::atomic::wait adds a spin of its own that yields the core.
void sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_all(std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

std::jthread ThreadPool::start_thread(std::function<void()> body) {
    return std::jthread(std::move(body));
}

ThreadPool::ThreadPool(std::uint32_t threads, const StartThread& start)
    : spin_rounds_(threads > 1 ? spin_rounds() : 0) {
    try {
        workers_.reserve(std::max(threads, 1U) - 1);
        for (std::uint32_t i = 1; i < threads; ++i) {
            workers_.push_back(start([this, i] { worker_main(i); }));
        }
    } catch (...) {
        // Those that run already are joined next, and would never end by themselves.
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::stop() noexcept {
    open_.store(kStopping, std::memory_order_release);
    wake_all(open_);
}

void ThreadPool::run_task() noexcept {
    assert(task_.ranges < kCallerSleeps);
    helped_.store(0, std::memory_order_relaxed);
    // The caller takes the first range itself. The store comes before the look at sleepers_ in
    // the one order of both, as a worker's entry there comes before its last look at open_: one
    // of the two sees the other, so no worker sleeps through a loop.
    open_.store(task_.ranges - 1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) wake_all(open_);
    call_range(0, 0);
    const std::uint32_t own = 1 + work(0);
    // Everything is taken. A worker that the scheduler has not let in yet is not waited for: on a
    // machine that is busy with other things that would cost more than the worker could save.
    if (own != task_.ranges) wait_for_helpers(task_.ranges - own);
}

void ThreadPool::wait_for_helpers(std::uint32_t ranges) noexcept {
    for (std::uint32_t i = 0; i < spin_rounds_; ++i) {
        if (helped_.load(std::memory_order_acquire) == ranges) return;
        relax();
    }
    for (;;) {
        const std::uint32_t before = helped_.fetch_or(kCallerSleeps, std::memory_order_acq_rel);
        if ((before & ~kCallerSleeps) == ranges) return;
        sleep_while(helped_, before | kCallerSleeps);
    }
}

void ThreadPool::call_range(std::uint32_t index, std::uint32_t worker) noexcept {
    const std::size_t begin = index * task_.chunk;
    task_.call(task_.fn, begin, std::min(begin + task_.chunk, task_.count), worker);
}

// Takes ranges until there are none; returns how many. A thread that holds a range holds up the
// loop's end, so task_ is that loop's until it has said that it is done.
std::uint32_t ThreadPool::work(std::uint32_t worker) noexcept {
    std::uint32_t done = 0;
    std::uint32_t open = open_.load(std::memory_order_relaxed);
    while (open != 0 && open != kStopping) {
        if (!open_.compare_exchange_weak(open, open - 1, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
            continue;
        }
        call_range(task_.ranges - open, worker);
        ++done;
        open = open_.load(std::memory_order_relaxed);
    }
    return done;
}

void ThreadPool::worker_main(std::uint32_t index) noexcept {
    pthread_setname_np(pthread_self(), ("compute-" + std::to_string(index)).c_str());
    while (wait_for_work()) {
        const std::uint32_t done = work(index);
        if (done == 0) continue;
        const std::uint32_t before = helped_.fetch_add(done, std::memory_order_acq_rel);
        // A caller that sleeps looks again after each report; it alone knows the sum.
        if ((before & kCallerSleeps) != 0) wake_all(helped_);
    }
}

// Returns when there may be a range to take: first spins, then sleeps. False: the pool ends.
bool ThreadPool::wait_for_work() noexcept {
    for (std::uint32_t i = 0; i < spin_rounds_; ++i) {
        if (const auto open = open_.load(std::memory_order_relaxed); open != 0) {
            return open != kStopping;
        }
        relax();
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (open_.load(std::memory_order_seq_cst) == 0) sleep_while(open_, 0);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
    return open_.load(std::memory_order_relaxed) != kStopping;
}

}  // namespace shoal::exec
