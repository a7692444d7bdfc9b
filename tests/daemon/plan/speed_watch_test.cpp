#include "daemon/plan/speed_watch.hpp"

#include <doctest/doctest.h>

#include "tests/daemon/support.hpp"

namespace speed_watch_test {

using namespace shoal;
using namespace shoal::tests;

namespace {

// Three devices of which the third says to be as fast as the others.
struct Plan {
    SpeedWatch watch;
    std::map<mesh::DeviceId, Effort> efforts;

    Plan() { begin(1); }
    void begin(double third) {
        watch.begin({{device_id(1), 1}, {device_id(2), 1}, {device_id(3), third}});
        efforts.clear();
    }
    // Some steps, in which the third takes this many times as long as the others.
    bool work(double third, std::uint64_t steps = SpeedWatch::kSteps) {
        for (std::uint8_t n = 1; n <= 3; ++n) {
            Effort& effort = efforts[device_id(n)];
            effort.steps += steps;
            effort.seconds += static_cast<double>(steps) * (n == 3 ? third : 1) * 1e-3;
        }
        return watch.look(efforts);
    }
    double third() const { return watch.correction(device_id(3)); }
};

}  // namespace

TEST_SUITE("SpeedWatch") {
    TEST_CASE_FIXTURE(Plan, "a device that is much slower than it said for long counts as slower") {
        CHECK_FALSE(work(10));
        CHECK(third() == 1);
        CHECK(work(10));
        CHECK(third() == doctest::Approx(10));
        // Under the plan that knows it, nothing is new.
        begin(10);
        CHECK_FALSE(work(10));
        CHECK_FALSE(work(10));
        CHECK(third() == doctest::Approx(10));
    }

    TEST_CASE_FIXTURE(Plan, "one that was slow for a moment does not") {
        CHECK_FALSE(work(1));
        CHECK_FALSE(work(10));
        CHECK_FALSE(work(1));
        CHECK_FALSE(work(10));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "one that recovers counts as fast as it said again, and no faster") {
        work(10);
        REQUIRE(work(10));
        begin(10);
        CHECK_FALSE(work(0.5));
        CHECK(work(0.5));
        CHECK(third() == 1);
        CHECK_FALSE(work(0.01));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "few steps, a missing report or a small difference say nothing") {
        for (int n = 0; n < 4; ++n) CHECK_FALSE(work(2));
        CHECK_FALSE(work(10, SpeedWatch::kSteps / 2));
        CHECK_FALSE(work(10, SpeedWatch::kSteps / 4));
        efforts.erase(device_id(2));
        CHECK_FALSE(watch.look(efforts));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "a device that stood still counts as very slow, and not for ever") {
        work(1e6);
        REQUIRE(work(1e6));
        CHECK(third() == SpeedWatch::kMost);
        begin(SpeedWatch::kMost);
        work(1);
        CHECK(work(1));
        CHECK(third() == 1);
    }

    TEST_CASE("of two devices the faster is the measure") {
        SpeedWatch watch;
        watch.begin({{device_id(1), 1}, {device_id(2), 1}});
        std::map<mesh::DeviceId, Effort> efforts{{device_id(1), {20, 8}}, {device_id(2), {20, 1}}};
        CHECK_FALSE(watch.look(efforts));
        efforts = {{device_id(1), {40, 16}}, {device_id(2), {40, 2}}};
        CHECK(watch.look(efforts));
        CHECK(watch.correction(device_id(1)) == doctest::Approx(8));
        CHECK(watch.correction(device_id(2)) == 1);
    }

    TEST_CASE("a device with nothing to do is no measure") {
        SpeedWatch watch;
        watch.begin({{device_id(1), 1}, {device_id(2), 0}});
        CHECK_FALSE(watch.look({{device_id(1), {20, 8}}}));
    }
}

}  // namespace speed_watch_test
