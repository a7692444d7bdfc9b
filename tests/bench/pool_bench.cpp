// What a fork and join of the thread pool costs, in nanoseconds (medians): `pool_bench [threads]`.
//   empty       every range is empty; the caller may take them all before a worker comes
//   all join    a range ends only when every thread has one: the cost of a real barrier
//   after N us  as "all join", after the caller worked alone for N us
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "daemon/exec/cpu_topology.hpp"
#include "daemon/exec/thread_pool.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using shoal::exec::ThreadPool;

double nanoseconds(Clock::duration d) {
    return std::chrono::duration<double, std::nano>(d).count();
}

// A range of every thread: returns when all have arrived.
void meet(ThreadPool& pool, std::atomic<std::uint32_t>& arrived) {
    arrived.store(0, std::memory_order_relaxed);
    const std::uint32_t threads = pool.threads();
    pool.run(threads, 1, [&](std::size_t, std::size_t) {
        arrived.fetch_add(1, std::memory_order_acq_rel);
        while (arrived.load(std::memory_order_acquire) < threads) {
        }
    });
}

// A core of its own for each thread, as far as there are any.
void pin(ThreadPool& pool) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    }
    std::atomic<std::uint32_t> arrived{0};
    pool.run(pool.threads(), 1, [&](std::size_t, std::size_t, std::uint32_t worker) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpus[worker % cpus.size()], &one);
        sched_setaffinity(0, sizeof one, &one);
        arrived.fetch_add(1);
        while (arrived.load() < pool.threads()) std::this_thread::yield();
    });
}

template <typename Fn>
double median(int samples, const Fn& sample) {
    std::vector<double> times;
    for (int i = 0; i < samples; ++i) times.push_back(sample());
    std::nth_element(times.begin(), times.begin() + samples / 2, times.end());
    return times[samples / 2];
}

}  // namespace

int main(int argc, char** argv) {
    const auto threads = argc > 1 ? static_cast<std::uint32_t>(std::atoi(argv[1]))
                                  : shoal::exec::thread_count(shoal::exec::read_topology(), 0);
    ThreadPool pool(threads);
    pin(pool);
    constexpr int kBatch = 100;
    std::atomic<std::uint32_t> arrived{0};
    const auto per_run = [&](auto&& run) {
        return median(501, [&] {
            const auto start = Clock::now();
            for (int i = 0; i < kBatch; ++i) run();
            return nanoseconds(Clock::now() - start) / kBatch;
        });
    };
    std::printf("%u threads\n", threads);
    std::printf("%-12s %8.0f ns\n", "empty",
                per_run([&] { pool.run(threads, 1, [](std::size_t, std::size_t) {}); }));
    std::printf("%-12s %8.0f ns\n", "all join", per_run([&] { meet(pool, arrived); }));
    for (const int gap : {2, 5, 10, 20, 50, 200}) {
        const double time = median(501, [&] {
            const auto begin = Clock::now();
            while (Clock::now() - begin < std::chrono::microseconds(gap)) {
            }
            const auto start = Clock::now();
            meet(pool, arrived);
            return nanoseconds(Clock::now() - start);
        });
        std::printf("after %3d us %8.0f ns\n", gap, time);
    }
}
