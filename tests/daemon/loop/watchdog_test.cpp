#include "daemon/loop/watchdog.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <utility>

#include "daemon/loop/control_loop.hpp"

namespace watchdog_test {

using namespace shoal;
using namespace std::chrono_literals;
using Finding = StallCounter::Finding;

TEST_SUITE("watchdog") {
    TEST_CASE("looks without progress are counted, and each stall is told once and when it ends") {
        StallCounter counter(3, 5);
        std::uint64_t turns = 7;
        CHECK(counter.look(turns) == Finding::none);
        CHECK(counter.look(turns) == Finding::none);
        CHECK(counter.look(turns) == Finding::none);
        CHECK(counter.look(++turns) == Finding::none);  // Two looks are not three.
        for (int stall = 0; stall < 2; ++stall) {
            CHECK(counter.look(turns) == Finding::none);
            CHECK(counter.look(turns) == Finding::none);
            CHECK(counter.look(turns) == Finding::stalled);
            CHECK(counter.look(turns) == Finding::none);
            CHECK(counter.looks() == 4);
            CHECK(counter.look(++turns) == Finding::recovered);
            CHECK(counter.looks() == 4);
            CHECK(counter.look(++turns) == Finding::none);
            CHECK(counter.looks() == 0);
        }
        for (int i = 0; i < 4; ++i) CHECK(counter.look(turns) != Finding::hopeless);
        CHECK(counter.look(turns) == Finding::hopeless);
        CHECK(counter.look(turns) == Finding::hopeless);
    }

    TEST_CASE("a control loop that a task keeps is found, with the task's name, and its recovery") {
        ControlLoop loop;
        std::promise<std::string> stalled, recovered;
        std::atomic<int> hopeless{0};
        bool is_stalled = false, is_recovered = false;  // A loop that has ended stalls again.
        Watchdog::Reports reports;
        reports.stalled = [&](const std::string& doing, auto) {
            if (!std::exchange(is_stalled, true)) stalled.set_value(doing);
        };
        reports.recovered = [&](const std::string& doing, auto) {
            if (!std::exchange(is_recovered, true)) recovered.set_value(doing);
            loop.stop();
        };
        reports.hopeless = [&](const std::string&, auto) { ++hopeless; };
        auto found = stalled.get_future();
        loop.post([&] { found.wait(); }, "a slow disk");
        const Watchdog watchdog(
            {{[&] { return loop.turns(); }, [&] { return std::string(loop.doing()); }}},
            std::move(reports), {200ms, 600ms, 1h});
        loop.run();
        CHECK(found.get() == "a slow disk");
        CHECK(recovered.get_future().get() == "a slow disk");
        CHECK(hopeless == 0);
    }

    TEST_CASE("what never goes on again is hopeless, while the others are watched alone") {
        std::atomic<std::uint64_t> turns{0};
        std::promise<std::string> hopeless;
        bool is_told = false;
        Watchdog::Reports reports;
        reports.stalled = reports.recovered = [](const std::string&, auto) {};
        reports.hopeless = [&](const std::string& doing, auto) {
            if (!std::exchange(is_told, true)) hopeless.set_value(doing);
        };
        const Watchdog watchdog({{[&] { return ++turns; }, [] { return std::string("busy"); }},
                                 {[] { return 3; }, [] { return std::string("stuck"); }}},
                                std::move(reports), {1ms, 5ms, 20ms});
        CHECK(hopeless.get_future().get() == "stuck");
    }
}

}  // namespace watchdog_test
