#include "daemon/exec/thread_pool.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <latch>
#include <numeric>
#include <system_error>

namespace shoal::exec {
namespace {

double process_seconds() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// The thread of a pool of two that is not the caller's.
pthread_t worker_of(ThreadPool& pool) {
    pthread_t thread{};
    std::latch both(2);
    pool.run(2, 1, [&](std::size_t, std::size_t, std::uint32_t worker) {
        both.arrive_and_wait();
        if (worker == 1) thread = pthread_self();
    });
    return thread;
}

// Keeps a thread inside a signal handler, as a scheduler would that does not let it run.
class HeldThread {
  public:
    explicit HeldThread(pthread_t thread) {
        REQUIRE(pipe(held_pipe_) == 0);
        held_ = false;
        struct sigaction action {};
        action.sa_handler = [](int) {
            held_ = true;
            char byte = 0;
            while (read(held_pipe_[0], &byte, 1) < 0) {
            }
        };
        REQUIRE(sigaction(SIGUSR1, &action, &before_) == 0);
        REQUIRE(pthread_kill(thread, SIGUSR1) == 0);
        while (!held_) std::this_thread::yield();
    }
    ~HeldThread() {
        close(held_pipe_[1]);  // ends the read
        // The handler may still be reading; the pipe's other end stays open for it.
        sigaction(SIGUSR1, &before_, nullptr);
    }
    HeldThread(const HeldThread&) = delete;
    HeldThread& operator=(const HeldThread&) = delete;

  private:
    static inline int held_pipe_[2];
    static inline std::atomic<bool> held_;
    struct sigaction before_ {};
};

}  // namespace

TEST_CASE("every index is visited once, whatever the threads and chunks") {
    for (const std::uint32_t threads : {1U, 2U, 5U}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for (const std::size_t count : {0U, 1U, 7U, 64U, 1000U}) {
            for (const std::size_t chunk : {1U, 3U, 64U, 5000U}) {
                std::vector<std::atomic<int>> visits(count);
                std::atomic<int> odd_ranges{0};
                pool.run(count, chunk, [&](std::size_t begin, std::size_t end) {
                    if (begin % chunk != 0 || end != std::min(begin + chunk, count)) ++odd_ranges;
                    for (std::size_t i = begin; i < end; ++i) ++visits[i];
                });
                CHECK(odd_ranges == 0);
                for (const auto& v : visits) CHECK(v == 1);
            }
        }
    }
}

TEST_CASE("no two calls at one time have the same worker's number") {
    for (const std::uint32_t threads : {1U, 2U, 4U}) {
        ThreadPool pool(threads);
        std::vector<std::atomic<int>> inside(threads);
        std::atomic<int> shared{0}, beyond{0};
        for (int round = 0; round < 200; ++round) {
            std::latch all(threads);
            pool.run(64, 1, [&](std::size_t begin, std::size_t, std::uint32_t worker) {
                if (worker >= threads) {
                    ++beyond;
                    return;
                }
                if (inside[worker].fetch_add(1) != 0) ++shared;
                if (begin < threads) all.arrive_and_wait();  // so that every thread is inside
                inside[worker].fetch_sub(1);
            });
        }
        CHECK(beyond == 0);
        CHECK(shared == 0);
    }
}

TEST_CASE("the caller is worker 0") {
    ThreadPool pool(3);
    const auto caller = std::this_thread::get_id();
    std::atomic<int> wrong{0};
    for (int round = 0; round < 100; ++round) {
        std::latch all(3);
        pool.run(6, 2, [&](std::size_t, std::size_t, std::uint32_t worker) {
            if ((worker == 0) != (std::this_thread::get_id() == caller)) ++wrong;
            all.arrive_and_wait();
        });
    }
    CHECK(wrong == 0);
}

TEST_CASE("loop after loop sees what the one before wrote") {
    ThreadPool pool(3);
    std::vector<std::uint64_t> values(300, 1);
    for (int round = 0; round < 2000; ++round) {
        const std::uint64_t sum = std::accumulate(values.begin(), values.end(), std::uint64_t{0});
        REQUIRE(sum == values.size() * (static_cast<std::uint64_t>(round) + 1));
        pool.run(values.size(), 10, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) ++values[i];
        });
    }
}

TEST_CASE("spinning and sleeping workers join the next loop") {
    ThreadPool pool(3);
    for (int i = 0; i < 60; ++i) {
        // Every third loop finds the workers asleep, or nearly.
        if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        // A range ends when every thread has one: a loop that nobody joins would not end.
        std::latch all(3);
        pool.run(3, 1, [&](std::size_t, std::size_t) { all.arrive_and_wait(); });
    }
}

TEST_CASE("a caller that had to sleep learns that the last range is done") {
    ThreadPool pool(2);
    for (int i = 0; i < 20; ++i) {
        std::latch both(2);
        std::atomic<int> done{0};
        pool.run(2, 1, [&](std::size_t, std::size_t, std::uint32_t worker) {
            both.arrive_and_wait();
            if (worker != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            ++done;
        });
        CHECK(done == 2);
    }
}

TEST_CASE("a worker that is not let in is not waited for") {
    ThreadPool pool(2);
    const HeldThread held(worker_of(pool));
    std::atomic<int> done{0}, by_worker{0};
    pool.run(100, 1, [&](std::size_t, std::size_t, std::uint32_t worker) {
        ++done;
        by_worker += worker != 0 ? 1 : 0;
    });
    CHECK(done == 100);
    CHECK(by_worker == 0);
}

TEST_CASE("an idle pool takes no time from the CPU") {
    ThreadPool pool(4);
    pool.run(100, 1, [](std::size_t, std::size_t) {});
    // Others may use the machine, but only this process's time counts, and a quiet moment must
    // come: workers that spin would leave none.
    bool quiet = false;
    for (int i = 0; i < 200 && !quiet; ++i) {
        const double before = process_seconds();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        quiet = process_seconds() - before < 0.002;
    }
    CHECK(quiet);
}

TEST_CASE("a pool whose threads cannot all be had says so, and none is left") {
    for (const int had : {0, 1, 3}) {
        std::atomic<int> started{0}, ended{0};
        const auto start = [&](std::function<void()> body) {
            if (started == had) throw std::system_error(EAGAIN, std::generic_category());
            ++started;
            return std::jthread([&ended, body = std::move(body)] {
                body();
                ++ended;
            });
        };
        CHECK_THROWS_AS(ThreadPool(5, start), std::system_error);
        CHECK(ended == had);
    }
}

TEST_CASE("a pool that never ran ends") {
    const ThreadPool pool(4);
}

}  // namespace shoal::exec
