#include "daemon/plan/plan_life.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "tests/daemon/support.hpp"

namespace plan_life_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;
using namespace mesh::messages;
using State = PlanLife::State;

namespace {

const KnownModel kModel{{{1}}, "tiny", 10};
const PlanLife::Time kStart = PlanLife::Time() + 1h;
const mesh::DeviceId kOne = device_id(1);
const mesh::DeviceId kTwo = device_id(2);
const PlanRef kPlan = PlanRef::of(plan_id(7));

PlanOffer offer_of_two() {
    PlanOffer offer;
    offer.plan = kPlan;
    offer.devices.resize(2);
    offer.devices[0].id = kOne.bytes;
    offer.devices[1].id = kTwo.bytes;
    return offer;
}

PlanLife in(State state) {
    PlanLife plan;
    if (state >= State::opening) plan.open(kModel, kStart);
    if (state >= State::loading) plan.offer(offer_of_two(), {kOne, kTwo}, kStart + 1s);
    if (state >= State::starting) {
        CHECK_FALSE(plan.on_loaded(kOne, {kPlan, 1, 2, 3, 4}));
        CHECK(plan.on_loaded(kTwo, {kPlan, 5, 6, 7, 8}));
    }
    if (state >= State::running) CHECK(plan.on_started(kPlan.id(), kStart + 5s));
    return plan;
}

constexpr State kStates[] = {State::none, State::opening, State::loading, State::starting,
                             State::running};

}  // namespace

TEST_SUITE("PlanLife") {
    TEST_CASE("blocks are kept where all devices keep theirs") {
        for (const bool one : {false, true}) {
            for (const bool two : {false, true}) {
                PlanLife plan = in(State::loading);
                plan.on_loaded(kOne, {kPlan, 1, 2, 3, 4, one});
                plan.on_loaded(kTwo, {kPlan, 5, 6, 7, 8, two});
                CHECK(plan.keeps_blocks() == (one && two));
            }
        }
    }

    TEST_CASE("a plan is opened, offered, loaded by all, started, and ends") {
        for (const State state : kStates) {
            PlanLife plan = in(state);
            CAPTURE(static_cast<int>(state));
            CHECK(plan.state() == state);
            CHECK(plan.offered() == (state >= State::loading));
            CHECK(plan.devices().size() == (state >= State::loading ? 2 : 0));
            if (state >= State::opening) CHECK(plan.model().name == "tiny");
            plan.end();
            CHECK(plan.state() == State::none);
            CHECK(plan.devices().empty());
            plan.open(kModel, kStart);  // and the next one
            CHECK(plan.state() == State::opening);
        }
    }

    TEST_CASE("an event moves a plan in one state alone") {
        const std::pair<State, std::function<bool(PlanLife&)>> events[] = {
            {State::loading,
             [](PlanLife& p) {
                 static_cast<void>(p.on_loaded(kOne, {kPlan, 1, 1, 1, 1}));
                 return p.on_loaded(kTwo, {kPlan, 1, 1, 1, 1});
             }},
            {State::loading,
             [](PlanLife& p) {
                 return p.on_progress(kTwo, {kPlan, "loading", 1, 2}, kStart);
             }},
            {State::starting, [](PlanLife& p) { return p.on_started(kPlan.id(), kStart); }},
        };
        for (const auto& [heard_in, event] : events) {
            for (const State state : kStates) {
                CAPTURE(static_cast<int>(state));
                PlanLife plan = in(state);
                CHECK(event(plan) == (state == heard_in));
                if (state != heard_in) CHECK(plan.state() == state);
            }
        }
    }

    TEST_CASE("what is said of another plan, or by who has no part in it, changes nothing") {
        const PlanRef other = PlanRef::of(plan_id(8));
        PlanLife plan = in(State::loading);
        CHECK(plan.concerns(kPlan, kTwo));
        CHECK_FALSE(plan.concerns(other, kTwo));
        CHECK_FALSE(plan.concerns(kPlan, device_id(3)));
        CHECK_FALSE(in(State::opening).concerns({}, kTwo));
        CHECK_FALSE(plan.on_progress(kTwo, {other, "loading", 1, 2}, kStart));
        CHECK_FALSE(plan.on_progress(device_id(3), {kPlan, "loading", 1, 2}, kStart));
        for (int n = 0; n < 3; ++n) {
            CHECK_FALSE(plan.on_loaded(kOne, {kPlan, 1, 1, 1, 1}));
            CHECK_FALSE(plan.on_loaded(kTwo, {other, 1, 1, 1, 1}));
            CHECK_FALSE(plan.on_loaded(device_id(3), {kPlan, 1, 1, 1, 1}));
        }
        CHECK(plan.devices().size() == 2);
        CHECK_FALSE(in(State::starting).on_started(other.id(), kStart));
    }

    TEST_CASE("it knows what its devices hold, and what its loading took") {
        const PlanLife plan = in(State::running);
        CHECK(plan.devices().at(kTwo).held.weights == 5);
        CHECK(plan.devices().at(kTwo).held.planned_weights == 6);
        CHECK(plan.devices().at(kTwo).held.kv_cache == 7);
        CHECK(plan.devices().at(kTwo).held.buffers == 8);
        CHECK(plan.loading().begun == kStart);
        CHECK(plan.loading().loaded == kStart + 5s);
    }

    TEST_CASE("progress is of all together, and nobody goes on while one waits") {
        const auto shown = [](const PlanLife& plan) {
            const Progress p = plan.progress();
            return p.what + " " + std::to_string(p.done) + "/" + std::to_string(p.total);
        };
        PlanLife plan = in(State::loading);
        CHECK(shown(plan) == "loading 0/0");
        CHECK(plan.on_progress(kOne, {kPlan, "loading", 1, 4}, kStart));
        CHECK(shown(plan) == "loading 1/4");
        CHECK(plan.on_progress(kTwo, {kPlan, "fetching", 2, 6}, kStart));
        CHECK(shown(plan) == "fetching pieces 3/10");
        CHECK(plan.on_progress(kTwo, {kPlan, "waiting for a file", 0, 0}, kStart));
        CHECK(shown(plan) == "waiting for a file 0/0");
        CHECK(plan.on_progress(kTwo, {kPlan, "fetching", 3, 6}, kStart));
        CHECK_FALSE(plan.on_loaded(kTwo, {kPlan, 1, 1, 1, 1}));
        CHECK(shown(plan) == "loading 7/10");
    }

    TEST_CASE("who has not loaded, and says nothing new, is stuck") {
        PlanLife plan = in(State::loading);  // heard at one second
        CHECK_FALSE(plan.stuck(kStart + 1s));
        CHECK(plan.stuck(kStart + 2s) == kOne);
        CHECK(plan.on_progress(kOne, {kPlan, "loading", 1, 4}, kStart + 3s));
        CHECK(plan.stuck(kStart + 2s) == kTwo);
        CHECK_FALSE(plan.on_loaded(kTwo, {kPlan, 1, 1, 1, 1}));
        CHECK_FALSE(plan.stuck(kStart + 2s));
        CHECK(plan.stuck(kStart + 4s) == kOne);
        for (const State state : kStates) {
            if (state != State::loading) CHECK_FALSE(in(state).stuck(kStart + 1h));
        }
    }
}

}  // namespace plan_life_test
