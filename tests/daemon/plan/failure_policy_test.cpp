#include "daemon/plan/failure_policy.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/daemon/plan/candidates.hpp"

namespace failure_policy_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;
using mesh::messages::Fault;
using mesh::messages::PlanEnd;

namespace {

using Time = FailurePolicy::Time;
const Time kStart = Time() + 1h;
const mesh::DeviceId kSelf = device_id(1);
const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);
constexpr PlanPatience kWaits{300ms, 1500ms, 200ms, 20s};

PlanEnd end_of(Fault fault, std::string error, std::initializer_list<std::uint8_t> peers = {}) {
    PlanEnd end{{}, std::move(error), fault, {}};
    for (const std::uint8_t n : peers) end.peers.push_back(device_id(n).bytes);
    return end;
}

std::string name_of(const mesh::DeviceId& id) {
    return "device " + std::to_string(id.bytes[0]);
}

struct Fixture {
    FailurePolicy policy{kSelf, kWaits};
    Time now = kStart;

    FailurePolicy::Verdict fail(const mesh::DeviceId& from, const PlanEnd& end,
                                std::uint8_t devices = 3) {
        static_cast<void>(policy.report(from, end, now));
        auto verdict = policy.conclude(candidates(devices), name_of, now);
        policy.plan_over();
        return verdict;
    }
};

}  // namespace

TEST_SUITE("FailurePolicy") {
    TEST_CASE("reports name pairs of devices at hand once, whoever reports them") {
        const Report reports[] = {{kTwo, end_of(Fault::peers, "silence", {3, 2, 9})},
                                  {kThree, end_of(Fault::peers, "silence", {2})},
                                  {device_id(9), end_of(Fault::peers, "silence", {1})}};
        CHECK(pairs_of(reports, candidates(3)) == std::vector{apart(2, 3)});
    }

    TEST_CASE("who says it of themselves is to blame; else who is missed most; else nobody") {
        auto devices = candidates(4);
        devices[2].member.description.speed = 0.5;
        struct Row {
            std::vector<Report> reports;
            std::vector<mesh::DeviceId> blamed;
        };
        const PlanEnd full = end_of(Fault::own, "the disk is full");
        const Row rows[] = {
            {{{kTwo, end_of(Fault::none, "hiccup")}}, {}},
            {{{kTwo, full}}, {kTwo}},
            {{{kTwo, full}, {kSelf, full}}, {kTwo, kSelf}},
            {{{kThree, end_of(Fault::peers, "silence", {4})}, {kTwo, full}}, {kTwo}},
            {{{kTwo, end_of(Fault::peers, "silence", {3})}}, {kThree}},  // the slower
            {{{kThree, end_of(Fault::peers, "silence", {2})}}, {kThree}},
            {{{kSelf, end_of(Fault::peers, "silence", {2})}}, {kTwo}},  // the root stays
            {{{kTwo, end_of(Fault::peers, "silence", {4})},
              {kThree, end_of(Fault::peers, "silence", {4})}},
             {device_id(4)}},
            {{{kTwo, end_of(Fault::peers, "silence", {9})}}, {}},  // who is lost is not to blame
            {{{kTwo, end_of(Fault::peers, "silence", {2})}}, {}},
        };
        for (const Row& row : rows) {
            CAPTURE(&row - rows);
            std::vector<mesh::DeviceId> blamed;
            for (const Blame& blame : judge(row.reports, devices)) blamed.push_back(blame.device);
            CHECK(blamed == row.blamed);
        }
    }

    TEST_CASE("the verdict waits for further reports as long as these may say more") {
        struct Step {
            Fault fault;
            Time at, due;
        };
        const std::vector<Step> rows[] = {
            {{Fault::own, kStart, kStart}},
            {{Fault::none, kStart, kStart + 300ms}},
            {{Fault::peers, kStart, kStart + 1500ms}},
            {{Fault::none, kStart, kStart + 300ms}, {Fault::none, kStart + 1ms, kStart + 300ms}},
            {{Fault::none, kStart, kStart + 300ms}, {Fault::peers, kStart + 9ms, kStart + 1509ms}},
            {{Fault::peers, kStart, kStart + 1500ms}, {Fault::none, kStart + 9ms, kStart + 1500ms}},
            {{Fault::peers, kStart, kStart + 1500ms}, {Fault::own, kStart + 9ms, kStart + 9ms}},
        };
        for (const auto& row : rows) {
            CAPTURE(&row - rows);
            FailurePolicy policy(kSelf, kWaits);
            CHECK_FALSE(policy.reported());
            for (const Step& step : row) {
                CHECK(policy.report(kTwo, end_of(step.fault, "x"), step.at) == step.due);
                CHECK(policy.reported());
            }
            policy.plan_over();
            CHECK_FALSE(policy.reported());
            // Nothing of one plan's reports is left for the next one's.
            CHECK(policy.report(kTwo, end_of(Fault::none, "x"), kStart + 1h) ==
                  kStart + 1h + 300ms);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a verdict says what happened where, and leaves out who is blamed") {
        CHECK(fail(kTwo, end_of(Fault::none, "hiccup")).error == "device 2: hiccup");
        CHECK(fail(kTwo, end_of(Fault::none, "")).error == "device 2: left the plan");
        CHECK_FALSE(policy.exclusions().suspicious(kTwo));

        static_cast<void>(policy.report(kTwo, end_of(Fault::own, "no memory"), kStart));
        const auto both = fail(kSelf, end_of(Fault::own, "no disk"));
        CHECK(both.error == "device 2: no memory; device 1: no disk");
        CHECK(both.blamed == std::vector{kTwo});
        CHECK(policy.exclusions().reason(kTwo, kStart) == "no memory");
        CHECK(policy.exclusions().strikes(kSelf) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a root that fails twice is unfit, if there is another") {
        const PlanEnd own = end_of(Fault::own, "no disk");
        CHECK_FALSE(fail(kSelf, own).unfit);
        CHECK_FALSE(fail(kTwo, own).unfit);
        CHECK(fail(kSelf, own).unfit == "no disk");
        CHECK_FALSE(fail(kSelf, own, 1).unfit);
        // What works in between is no excuse, but a fault is forgotten after a while.
        policy.plan_works();
        CHECK(fail(kSelf, own).unfit == "no disk");
        now += Exclusions::kLongestPause + Exclusions::kMemory + 1s;
        CHECK_FALSE(fail(kSelf, own).unfit);
    }

    TEST_CASE_FIXTURE(Fixture, "by nobody's fault a plan is tried a few times, with pauses") {
        for (int round = 0; round < 2; ++round) {
            for (std::uint32_t n = 1; n < FailurePolicy::kMaxFailures; ++n) {
                CHECK(policy.next_try(false, false) == 200ms);
                CHECK(policy.next_try(true, false) == 0ms);    // another plan: does not count
                CHECK(policy.next_try(false, true) == 200ms);  // nor does what jobs are struck for
            }
            CHECK_FALSE(policy.next_try(false, false));
        }
        for (std::uint32_t n = 0; n < 3 * FailurePolicy::kMaxFailures; ++n) {
            CHECK(policy.next_try(false, false));
            policy.plan_works();
        }
    }

    TEST_CASE_FIXTURE(Fixture, "who is pardoned, and we with them, takes part at once") {
        const PlanEnd own = end_of(Fault::own, "division by zero");
        fail(kSelf, own);
        fail(kTwo, own);
        fail(kThree, own);
        policy.pardon({kTwo});
        CHECK_FALSE(policy.exclusions().suspicious(kSelf));
        CHECK_FALSE(policy.exclusions().reason(kTwo, kStart));
        CHECK(policy.exclusions().reason(kThree, kStart));
        policy.clear();
        CHECK_FALSE(policy.exclusions().reason(kThree, kStart));
    }
}

}  // namespace failure_policy_test
