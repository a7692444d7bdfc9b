#include "daemon/control_loop.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "tests/daemon/support.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;

TEST_SUITE("ControlLoop") {
    TEST_CASE("what is posted runs on the loop's thread, in order") {
        ControlLoop loop;
        std::vector<int> order;
        const auto home = std::this_thread::get_id();
        bool at_home = true;
        std::jthread poster([&] {
            for (int i = 0; i < 100; ++i) {
                loop.post([&, i] {
                    at_home = at_home && std::this_thread::get_id() == home;
                    order.push_back(i);
                    if (i == 99) loop.stop();
                });
            }
        });
        loop.run();
        REQUIRE(order.size() == 100);
        CHECK(at_home);
        for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
    }

    TEST_CASE("a task may post, and what it posts runs after what waits") {
        ControlLoop loop;
        std::vector<int> order;
        loop.post([&] {
            order.push_back(1);
            loop.post([&] {
                order.push_back(3);
                loop.stop();
            });
        });
        loop.post([&] { order.push_back(2); });
        loop.run();
        CHECK(order == std::vector<int>{1, 2, 3});
    }

    TEST_CASE("timers run in time and in order, and one may set another") {
        ControlLoop loop;
        std::vector<int> order;
        const auto start = ControlLoop::Clock::now();
        loop.post([&] {
            loop.at(start + 30ms, [&] {
                order.push_back(2);
                loop.at(start, [&] {
                    order.push_back(3);
                    loop.stop();
                });
            });
            loop.at(start + 5ms, [&] { order.push_back(1); });
        });
        loop.run();
        CHECK(order == std::vector<int>{1, 2, 3});
        CHECK(ControlLoop::Clock::now() - start >= 30ms);
    }

    TEST_CASE("a source works when its descriptor can be read or its deadline has passed") {
        ControlLoop loop;
        int ends[2];
        REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
        const auto start = ControlLoop::Clock::now();
        int reads = 0;
        int deadlines = 0;
        loop.add({[&] { return std::vector<int>{ends[0]}; },
                  [] { return ControlLoop::Clock::time_point::max(); },
                  [&] {
                      char c = 0;
                      if (read(ends[0], &c, 1) == 1) ++reads;
                  }});
        loop.add({[] { return std::vector<int>(); }, [&] { return start + 5ms; },
                  [&] {
                      if (ControlLoop::Clock::now() < start + 5ms || deadlines != 0) return;
                      ++deadlines;
                      REQUIRE(write(ends[1], "x", 1) == 1);
                  }});
        loop.post([&] { loop.at(start + 50ms, [&] { loop.stop(); }); });
        loop.run();
        CHECK(reads == 1);
        CHECK(deadlines == 1);
        close(ends[0]);
        close(ends[1]);
    }

    TEST_CASE("a loop that is stopped before it runs does nothing") {
        ControlLoop loop;
        bool ran = false;
        loop.post([&] { ran = true; });
        loop.stop();
        loop.run();
        CHECK_FALSE(ran);
    }
}
