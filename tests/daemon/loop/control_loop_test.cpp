#include "daemon/loop/control_loop.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <thread>
#include <vector>

#include "tests/daemon/support.hpp"

namespace control_loop_test {

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
        Timer first, second;
        loop.post([&] {
            second = loop.at(start + 30ms, [&] {
                order.push_back(2);
                second = loop.at(start, [&] {
                    order.push_back(3);
                    loop.stop();
                });
            });
            first = loop.at(start + 5ms, [&] { order.push_back(1); });
        });
        loop.run();
        CHECK(order == std::vector<int>{1, 2, 3});
        CHECK(ControlLoop::Clock::now() - start >= 30ms);
    }

    TEST_CASE("a timer whose handle is gone does not run") {
        ControlLoop loop;
        std::vector<int> order;
        Timer dropped = loop.after(1ms, [&] { order.push_back(1); });
        Timer kept = loop.after(2ms, [&] { order.push_back(2); });
        Timer last = loop.after(10ms, [&] { loop.stop(); });
        dropped.reset();
        loop.run();
        CHECK(order == std::vector<int>{2});
    }

    TEST_CASE("a loop that is woken turns at once, and one that is not seldom") {
        ControlLoop loop;
        std::vector<ControlLoop::Clock::time_point> turns;
        loop.add({[] { return std::vector<int>{}; },
                  [] { return ControlLoop::Clock::time_point::max(); },
                  [&] {
                      turns.push_back(ControlLoop::Clock::now());
                      if (turns.size() == 3) loop.stop();
                  }});
        std::jthread other([&] {
            std::this_thread::sleep_for(20ms);
            loop.wake();
        });
        loop.run();
        REQUIRE(turns.size() == 3);
        CHECK(turns[1] - turns[0] < 450ms);
        CHECK(turns[2] - turns[1] >= 400ms);
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
        const Timer end = loop.at(start + 50ms, [&] { loop.stop(); });
        loop.run();
        CHECK(reads == 1);
        CHECK(deadlines == 1);
        close(ends[0]);
        close(ends[1]);
    }

    TEST_CASE("a deadline of any past time means at once") {
        for (const auto past : {ControlLoop::Clock::time_point::min(),
                                ControlLoop::Clock::time_point(), ControlLoop::Clock::now() - 1h}) {
            ControlLoop loop;
            int turns = 0;
            bool late = false;
            loop.add({[] { return std::vector<int>(); }, [&] { return past; },
                      [&] {
                          if (++turns == 1000) loop.stop();
                      }});
            // Each turn would otherwise take as long as the loop waits at most: 100 s in all.
            std::jthread guard([&](std::stop_token stop) {
                const auto end = ControlLoop::Clock::now() + 50s;
                while (!stop.stop_requested() && ControlLoop::Clock::now() < end) {
                    std::this_thread::sleep_for(10ms);
                }
                late = !stop.stop_requested();
                loop.stop();
            });
            loop.run();
            guard.request_stop();
            guard.join();
            CHECK(turns == 1000);
            CHECK_FALSE(late);
        }
    }

    TEST_CASE("a turn is as late as what it did was long, and waiting is none of it") {
        ControlLoop loop;
        loop.post([] { std::this_thread::sleep_for(60ms); });
        const Timer end = loop.after(150ms, [&] { loop.stop(); });
        loop.run();
        const Histogram delays = loop.delays();
        REQUIRE(delays.count() >= 1);
        CHECK(delays.sum() >= 0.06);
        // 0.05 to 0.1, unless the machine lets us wait.
        const auto bound = std::find(std::begin(kSecondBounds), std::end(kSecondBounds), 0.05);
        const auto at = static_cast<std::size_t>(bound - std::begin(kSecondBounds));
        std::uint64_t late = 0;
        for (std::size_t i = at + 1; i < delays.counts().size(); ++i) late += delays.counts()[i];
        CHECK(late >= 1);
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

}  // namespace control_loop_test
