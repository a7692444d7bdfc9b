#include "daemon/exec/thread_pool.hpp"

#include <doctest/doctest.h>

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
                pool.run(count, chunk, [&](std::size_t begin, std::size_t end) {
                    for (std::size_t i = begin; i < end; ++i) ++visits[i];
                });
                for (const auto& v : visits) CHECK(v == 1);
            }
        }
    }
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
