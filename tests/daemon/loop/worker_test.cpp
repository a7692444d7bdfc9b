#include "daemon/loop/worker.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <vector>

#include "tests/daemon/support.hpp"

namespace worker_test {

using namespace shoal;
using namespace shoal::tests;

TEST_SUITE("Worker") {
    TEST_CASE("tasks run one after another, in order") {
        std::vector<int> order;
        std::promise<void> done;
        Worker worker;
        for (int i = 0; i < 50; ++i) worker.post([&, i] { order.push_back(i); });
        worker.post([&] { done.set_value(); });
        done.get_future().wait();
        for (int i = 0; i < 50; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
    }

    TEST_CASE("a task can be stopped by who posted it, and is when the worker stops") {
        const auto wait_for_stop = [](const std::stop_token& stop) {
            return eventually([&] { return stop.stop_requested(); });
        };
        std::promise<bool> first;
        std::promise<bool> second;
        std::promise<void> begun;
        Worker worker;
        worker.post([&](const std::stop_token& stop) { first.set_value(wait_for_stop(stop)); })
            .request_stop();
        CHECK(first.get_future().get());
        worker.post([&](const std::stop_token& stop) {
            begun.set_value();
            second.set_value(wait_for_stop(stop));
        });
        begun.get_future().wait();
        worker.stop();
        CHECK(second.get_future().get());
    }

    TEST_CASE("stopping waits for the task that runs and drops the rest") {
        std::atomic<int> ran{0};
        std::promise<void> begun;
        std::promise<void> go;
        Worker worker;
        worker.post([&] {
            begun.set_value();
            go.get_future().wait();
            ++ran;
        });
        worker.post([&] { ran += 100; });
        begun.get_future().wait();
        // Nothing shows that stop() has begun; a busy machine gets a while to let it.
        std::jthread later([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(300));
            go.set_value();
        });
        worker.stop();
        CHECK(ran == 1);
        worker.post([&] { ran += 100; });
        worker.stop();
        CHECK(ran == 1);
    }
}

}  // namespace worker_test
