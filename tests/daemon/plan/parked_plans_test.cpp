#include "daemon/plan/parked_plans.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/daemon/plan/candidates.hpp"

namespace parked_plans_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;
using namespace mesh::messages;
using Beside = ParkedPlans::Beside;

namespace {

const PlanLife::Time kStart = PlanLife::Time() + 1h;
const std::uint64_t kMemory = 100'000;

mesh::ModelHash model(std::uint8_t number) {
    return {{number}};
}

// On devices 1 and 2, which hold `weights` each, 10 of buffers and 2 for each position.
PlanLife parked(std::uint8_t number, std::uint64_t weights, std::uint64_t positions = 100) {
    PlanLife plan;
    plan.open({model(number), "model " + std::to_string(number), 10}, kStart);
    PlanOffer offer;
    offer.plan = PlanRef::of(plan_id(number));
    offer.kv_positions = positions;
    offer.devices.resize(2);
    offer.devices[0].id = device_id(1).bytes;
    offer.devices[1].id = device_id(2).bytes;
    plan.offer(offer, {device_id(1), device_id(2)}, kStart);
    for (std::uint8_t device = 1; device <= 2; ++device) {
        plan.on_loaded(device_id(device), {offer.plan, weights, weights, 2 * positions, 10});
    }
    CHECK(plan.on_started(offer.plan.id(), kStart));
    plan.park();
    CHECK(plan.on_parked(offer.plan.id()));
    return plan;
}

// What a plan of the model would find on devices 1, 2 and 3.
std::vector<std::uint64_t> left(const ParkedPlans& plans, std::uint8_t number, Beside beside,
                                PlanLife::Time now = kStart) {
    std::vector<Candidate> devices = candidates(3);
    for (Candidate& c : devices) c.member.description.memory_available = kMemory;
    plans.reserve(devices, model(number), beside, now);
    std::vector<std::uint64_t> out;
    for (const Candidate& c : devices) out.push_back(c.member.description.memory_available);
    return out;
}

bool any(const PlanLife&) {
    return true;
}

}  // namespace

TEST_SUITE("ParkedPlans") {
    TEST_CASE("parked plans leave the rest of the memory, where they have a part") {
        ParkedPlans plans;
        plans.add(parked(1, 1000));
        plans.add(parked(2, 5000));
        const std::uint64_t rest = kMemory - 1210 - 5210;
        CHECK(left(plans, 3, Beside::parked) == std::vector{rest, rest, kMemory});
        plans.add(parked(4, kMemory));
        CHECK(left(plans, 3, Beside::parked) == std::vector<std::uint64_t>{1, 1, kMemory});
        CHECK(plans.take(model(4)));
        CHECK_FALSE(plans.take(model(4)));
        CHECK(plans.take_if([](const PlanLife& p) { return p.takes_part(device_id(3)); }).empty());
        CHECK(plans.take_if(any).size() == 2);
        CHECK(plans.empty());
    }

    TEST_CASE("the one used longest ago makes room, of those that may") {
        ParkedPlans plans;
        for (std::uint8_t n = 1; n <= 3; ++n) plans.add(parked(n, 1000));
        const auto not_the_first = [](const PlanLife& p) { return p.model().hash != model(1); };
        CHECK(plans.displace(not_the_first, kStart)->model().hash == model(2));
        CHECK(plans.displace(any, kStart)->model().hash == model(1));
        CHECK_FALSE(plans.displace([](const PlanLife&) { return false; }, kStart));
        CHECK(plans.plans().size() == 1);
    }

    TEST_CASE(
        "room is kept for a model that was displaced twice, as long as that is not long ago") {
        ParkedPlans plans;
        const std::uint64_t roomy = ParkedPlans::kRoomy;
        const auto displace_first = [&] {
            plans.add(parked(1, 1000, 4 * roomy));
            CHECK(plans.displace(any, kStart));
        };
        displace_first();
        CHECK(left(plans, 2, Beside::displaced)[0] == kMemory);
        displace_first();
        // With as much context as is of use to most.
        CHECK(left(plans, 2, Beside::displaced)[0] == kMemory - 1010 - 2 * roomy);
        CHECK(left(plans, 2, Beside::parked)[0] == kMemory);
        CHECK(left(plans, 1, Beside::displaced)[0] == kMemory);
        CHECK(left(plans, 2, Beside::displaced, kStart + 11min)[0] == kMemory);
        // While it is there, what it has counts.
        plans.add(parked(1, 1000, 100));
        CHECK(left(plans, 2, Beside::displaced)[0] == kMemory - 1210);
    }
}

}  // namespace parked_plans_test
