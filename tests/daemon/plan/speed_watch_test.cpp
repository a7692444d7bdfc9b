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
    mesh::PlanId id;
    std::map<mesh::PlanId, std::map<mesh::DeviceId, Effort>> efforts;

    Plan() { begin(1); }
    // The third one's share is so much of the others'.
    void begin(std::uint32_t number, double share = 1) {
        watch.end(id);
        id = plan_id(number);
        watch.begin(id, {{device_id(1), 1}, {device_id(2), 1}, {device_id(3), share}});
    }
    // Some steps, in which the third takes this many times as long as the others.
    bool work(double third, std::uint64_t steps = SpeedWatch::kSteps, double seconds = 0.2) {
        for (std::uint8_t n = 1; n <= 3; ++n) {
            Effort& effort = efforts[id][device_id(n)];
            effort.plan = id;
            effort.steps += steps;
            effort.seconds += static_cast<double>(steps) * (n == 3 ? third : 1) * seconds;
        }
        watch.hear(efforts[id]);
        return watch.look();
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
        // Neither while the plan goes on nor under one that knows it is anything new.
        for (int n = 0; n < 3; ++n) CHECK_FALSE(work(10));
        begin(2, 0.1);
        CHECK_FALSE(work(1));
        CHECK_FALSE(work(1));
        CHECK(third() == doctest::Approx(10));
    }

    TEST_CASE_FIXTURE(Plan, "one that was slow for a moment does not") {
        CHECK_FALSE(work(1));
        CHECK_FALSE(work(10));
        CHECK_FALSE(work(1));
        CHECK_FALSE(work(10));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "a second that two looks see is a moment, too") {
        // Half a second is lost before a look, and half a second after it.
        const double slow = 1 + 0.5 / (0.001 * SpeedWatch::kSteps);
        REQUIRE(slow > SpeedWatch::kMuch);
        CHECK_FALSE(work(slow, SpeedWatch::kSteps, 0.001));
        CHECK_FALSE(work(slow, SpeedWatch::kSteps, 0.001));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "one that recovers counts as fast as it said again, and no faster") {
        work(10);
        REQUIRE(work(10));
        begin(2, 0.1);
        CHECK_FALSE(work(0.05));
        CHECK(work(0.05));
        CHECK(third() == 1);
        CHECK_FALSE(work(0.01));
        CHECK_FALSE(work(0.01));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "few steps, a missing report or a small difference say nothing") {
        for (int n = 0; n < 4; ++n) CHECK_FALSE(work(2));
        CHECK_FALSE(work(10, SpeedWatch::kSteps / 2));
        CHECK_FALSE(work(10, SpeedWatch::kSteps / 4));
        begin(2);
        efforts[id].clear();
        CHECK_FALSE(watch.look());
        efforts[id] = {{device_id(1), {20, 8}}, {device_id(3), {20, 800}}};
        for (auto& [device, effort] : efforts[id]) effort.plan = id;
        for (int n = 0; n < 3; ++n) {
            watch.hear(efforts[id]);
            CHECK_FALSE(watch.look());
        }
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "a device that stood still counts as very slow, and not for ever") {
        work(1e6);
        REQUIRE(work(1e6));
        CHECK(third() == SpeedWatch::kMost);
        begin(2, 1 / SpeedWatch::kMost);
        work(1 / SpeedWatch::kMost);
        CHECK(work(1 / SpeedWatch::kMost));
        CHECK(third() == 1);
    }

    TEST_CASE_FIXTURE(Plan, "turns that are too short to tell add up, each plan's for itself") {
        const mesh::PlanId one = plan_id(1), two = plan_id(2);
        watch.begin(two, {{device_id(1), 1}, {device_id(2), 1}, {device_id(3), 1}});
        int turns = 0;
        for (bool changed = false; !changed; ++turns) {
            REQUIRE(turns < 10);
            for (const mesh::PlanId& plan : {one, two}) {
                id = plan;
                watch.begin(plan, {{device_id(1), 1}, {device_id(2), 1}, {device_id(3), 1}});
                // In one of them alone is it slow.
                changed = work(plan == one ? 10 : 1, SpeedWatch::kSteps / 2) || changed;
            }
        }
        CHECK(turns == 4);
        CHECK(third() == doctest::Approx(10));
        // What is over is not looked at.
        watch.end(one);
        watch.end(two);
        CHECK_FALSE(watch.watching());
        for (int n = 0; n < 4; ++n) CHECK_FALSE(work(0.01));
    }

    TEST_CASE("of two devices the faster is the measure") {
        SpeedWatch watch;
        const mesh::PlanId plan = plan_id(1);
        const auto effort = [&](std::uint64_t steps, double seconds) {
            Effort out{steps, seconds};
            out.plan = plan;
            return out;
        };
        watch.begin(plan, {{device_id(1), 1}, {device_id(2), 1}});
        watch.hear({{device_id(1), effort(20, 8)}, {device_id(2), effort(20, 1)}});
        CHECK_FALSE(watch.look());
        watch.hear({{device_id(1), effort(40, 16)}, {device_id(2), effort(40, 2)}});
        CHECK(watch.look());
        CHECK(watch.correction(device_id(1)) == doctest::Approx(8));
        CHECK(watch.correction(device_id(2)) == 1);
    }

    TEST_CASE("a device with nothing to do is no measure") {
        SpeedWatch watch;
        Effort effort{20, 8};
        effort.plan = plan_id(1);
        watch.begin(plan_id(1), {{device_id(1), 1}, {device_id(2), 0}});
        watch.hear({{device_id(1), effort}});
        CHECK_FALSE(watch.look());
    }
}

}  // namespace speed_watch_test
