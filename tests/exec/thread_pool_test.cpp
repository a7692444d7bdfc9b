#include "daemon/exec/thread_pool.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

namespace shoal::exec {

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
            pool.run(64, 1, [&](std::size_t, std::size_t, std::uint32_t worker) {
                if (worker >= threads) {
                    ++beyond;
                    return;
                }
                if (inside[worker].fetch_add(1) != 0) ++shared;
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
        pool.run(16, 2, [&](std::size_t, std::size_t, std::uint32_t worker) {
            if ((worker == 0) != (std::this_thread::get_id() == caller)) ++wrong;
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

TEST_CASE("sleeping workers wake for the next loop") {
    ThreadPool pool(2);
    std::atomic<int> done{0};
    for (int i = 0; i < 3; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        pool.run(2, 1, [&](std::size_t begin, std::size_t end) {
            done += static_cast<int>(end - begin);
        });
    }
    CHECK(done == 6);
}

TEST_CASE("a pool that never ran ends") {
    const ThreadPool pool(4);
}

}  // namespace shoal::exec
