#include "daemon/exec/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace shoal::exec {
namespace {

// Rounds of spinning before a thread sleeps: some ten microseconds, about the gap between two
// loops of a step. Longer would take the core from the data plane's I/O thread.
constexpr int kSpinRounds = 400;

void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
}

// Waits until `value` differs from `old`.
template <typename T>
void wait_while(const std::atomic<T>& value, T old) noexcept {
    for (int i = 0; i < kSpinRounds; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        relax();
    }
    value.wait(old, std::memory_order_acquire);
}

// Cores that the cgroup's quota allows (cgroup v2), or 0 when there is no limit.
std::uint32_t cgroup_cores() {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
    char* end = nullptr;
    const double value = std::strtod(quota.c_str(), &end);
    if (end == quota.c_str() || value <= 0) return 0;
    return static_cast<std::uint32_t>(std::ceil(value / period));
}

}  // namespace

std::uint32_t ThreadPool::usable_cores() noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::uint32_t cores = std::max(1U, std::thread::hardware_concurrency());
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        cores = static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
    }
    const std::uint32_t quota = cgroup_cores();
    return quota == 0 ? cores : std::min(cores, quota);
}

ThreadPool::ThreadPool(std::uint32_t threads) {
    for (std::uint32_t i = 1; i < threads; ++i) {
        workers_.emplace_back([this, i] { worker_main(i); });
    }
}

ThreadPool::~ThreadPool() {
    stopping_ = true;
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
}

void ThreadPool::run_task() noexcept {
    next_.store(0, std::memory_order_relaxed);
    helpers_.store(kOpen, std::memory_order_release);
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
    work(0);
    // Everything is taken. A worker that the scheduler has not let in yet is not waited for: on a
    // machine that is busy with other things that would cost more than the worker could save.
    auto left = helpers_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    for (; left != 0; left = helpers_.load(std::memory_order_acquire)) {
        wait_while(helpers_, left);
    }
}

// Joins the task that is open now, if one is. Only then may a worker look at it.
bool ThreadPool::join() noexcept {
    auto helpers = helpers_.load(std::memory_order_relaxed);
    while ((helpers & kOpen) != 0) {
        if (helpers_.compare_exchange_weak(helpers, helpers + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void ThreadPool::work(std::uint32_t worker) noexcept {
    const Task task = task_;
    for (;;) {
        const std::size_t begin = next_.fetch_add(task.chunk, std::memory_order_relaxed);
        if (begin >= task.count) return;
        task.call(task.fn, begin, std::min(begin + task.chunk, task.count), worker);
    }
}

void ThreadPool::worker_main(std::uint32_t index) noexcept {
    pthread_setname_np(pthread_self(), ("compute-" + std::to_string(index)).c_str());
    std::uint32_t seen = 0;
    for (;;) {
        wait_while(started_, seen);
        // Late workers skip the tasks that went by.
        seen = started_.load(std::memory_order_acquire);
        if (stopping_.load(std::memory_order_relaxed)) return;
        if (!join()) continue;
        work(index);
        if (helpers_.fetch_sub(1, std::memory_order_acq_rel) == 1) helpers_.notify_one();
    }
}

}  // namespace shoal::exec
