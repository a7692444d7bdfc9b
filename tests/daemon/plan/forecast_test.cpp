#include "daemon/plan/forecast.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "daemon/plan/planner.hpp"
#include "tests/daemon/plan/candidates.hpp"

namespace forecast_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::PlanReply;

namespace {

struct Fixture {
    std::shared_ptr<const OpenModel> model = open_model(tiny_model());
    Forecast forecast{{}, {candidates(3), {}}};

    PlanReply reply(std::uint32_t devices = 0) const {
        const auto event = forecast.of(*model, {"tiny", devices});
        REQUIRE(std::holds_alternative<PlanReply>(event));
        return std::get<PlanReply>(event);
    }
    Failed failed(std::uint32_t devices = 0) const {
        const auto event = forecast.of(*model, {"tiny", devices});
        REQUIRE(std::holds_alternative<Failed>(event));
        return std::get<Failed>(event);
    }
    // Of the chosen plan, as one that is made has them.
    std::size_t taking_part() const {
        return plan_model(*model, forecast.rules, choose(forecast.situation).taking)
            .offer.devices.size();
    }
};

// Another model that device 1 holds.
PlanLife held(std::uint8_t number, std::uint64_t bytes) {
    PlanLife plan;
    plan.open({{{number}}, "model " + std::to_string(number), 10}, {});
    mesh::messages::PlanOffer offer;
    offer.plan = mesh::messages::PlanRef::of(plan_id(number));
    offer.kv_positions = 1;
    offer.devices.resize(1);
    offer.devices[0].id = device_id(1).bytes;
    plan.offer(offer, {device_id(1)}, {});
    plan.on_loaded(device_id(1), {offer.plan, bytes, bytes, 0, 0});
    return plan;
}

std::size_t chosen(const PlanReply& reply) {
    const auto it = std::find_if(reply.counts.begin(), reply.counts.end(),
                                 [](const auto& count) { return count.chosen; });
    REQUIRE(it != reply.counts.end());
    return it->devices;
}

}  // namespace

TEST_SUITE("Forecast") {
    TEST_CASE_FIXTURE(Fixture, "what is chosen is what a plan would be made of") {
        for (const double speed : {1.0, 10e9}) {
            for (Candidate& c : forecast.situation.devices) {
                c.profile = planner::DeviceProfile::guess(speed);
            }
            const PlanReply some = reply();
            CHECK(some.counts.size() == 3);
            CHECK(chosen(some) == taking_part());
            CHECK(some.shown == chosen(some));
            CHECK(some.devices.size() == 3);
            CHECK(some.context == model->hparams.n_context);
        }
        // Weights that wait for nothing but the network: one is quickest, and the others are told
        // why they are spares.
        const PlanReply alone = reply();
        CHECK(chosen(alone) == 1);
        CHECK(alone.devices[1].spare);
        CHECK(alone.devices[1].reason.find("without it") != std::string::npos);
        forecast.rules.plan.min_devices = 2;
        CHECK(chosen(reply()) == 2);
        CHECK(reply().min_devices == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "the best plan for another number of devices is shown when asked") {
        for (Candidate& c : forecast.situation.devices) {
            c.profile = planner::DeviceProfile::guess(10e9);
        }
        const PlanReply two = reply(2);
        CHECK(chosen(two) == 1);
        CHECK(two.shown == 2);
        CHECK(std::count_if(two.devices.begin(), two.devices.end(),
                            [](const auto& device) { return device.takes_part; }) == 2);
        const Failed four = failed(4);
        CHECK(four.code == ErrorCode::bad_request);
        CHECK(four.message == "4 devices are asked for; 3 can take part now");
    }

    TEST_CASE_FIXTURE(Fixture, "who cannot take part is named with the reason") {
        forecast.rules.plan.exclude = {"device 2"};
        forecast.situation.devices[2].fault = "its disk is full";
        const PlanReply some = reply();
        REQUIRE(some.devices.size() == 3);
        CHECK(some.counts.size() == 1);
        CHECK(some.devices[1].name == "device 2");
        CHECK(some.devices[1].reason == "plan.exclude of the root names it");
        CHECK_FALSE(some.devices[1].spare);
        CHECK(some.devices[2].name == "device 3");
        CHECK(some.devices[2].reason == "its disk is full");
    }

    TEST_CASE_FIXTURE(Fixture, "a model that fits nowhere is refused with the numbers") {
        for (Candidate& c : forecast.situation.devices) c.member.description.memory_available = 1;
        const Failed none = failed();
        CHECK(none.code == ErrorCode::too_large);
        CHECK(none.message.find("MiB") != std::string::npos);
        // On one device it does, and on no other number.
        forecast.situation.devices[0].member.description.memory_available = 1 << 30;
        CHECK_FALSE(reply().counts[1].fits);
        CHECK(failed(2).message == "the model fits no choice of 2 devices");
    }

    TEST_CASE_FIXTURE(Fixture, "models in the memory leave the rest of it, and make room") {
        forecast.situation.devices.resize(1);
        std::uint64_t& memory = forecast.situation.devices[0].member.description.memory_available;
        const auto fits = [&] {
            const auto event = forecast.of(*model, {"tiny", 0});
            const auto* plan = std::get_if<PlanReply>(&event);
            return plan != nullptr && plan->context == model->hparams.n_context;
        };
        memory = 100'000;
        while (!fits()) memory += memory / 4;
        const std::uint64_t alone = memory;
        using Names = std::vector<std::string>;
        forecast.others.add(held(1, alone));
        forecast.others.add(held(2, alone));
        memory = 3 * alone;
        CHECK(fits());
        CHECK(reply().beside == Names{"model 1", "model 2"});
        CHECK(reply().leaving.empty());
        // The one used longest ago leaves.
        memory = 2 * alone;
        CHECK(fits());
        CHECK(reply().beside == Names{"model 2"});
        CHECK(reply().leaving == Names{"model 1"});
        forecast.pinned = {{{1}}};
        CHECK(fits());
        CHECK(reply().leaving == Names{"model 2"});
        forecast.pinned = {{{1}}, {{2}}};
        CHECK(failed().code == ErrorCode::too_large);
        CHECK(failed().message.find("unload model 1") != std::string::npos);
        // Rather with less context than not at all.
        memory = 3 * alone;
        while (fits()) memory -= alone / 64;
        CHECK(reply().context < model->hparams.n_context);
        CHECK(reply().beside == Names{"model 1", "model 2"});
    }

    TEST_CASE_FIXTURE(Fixture, "it is told that large steps have halves") {
        forecast.rules.plan.min_devices = 2;
        forecast.rules.models.overlap = config::Overlap::always;
        CHECK(reply().overlap);
        forecast.rules.models.overlap = config::Overlap::never;
        CHECK(!reply().overlap);
    }

    TEST_CASE_FIXTURE(Fixture, "decoding is shown within the context") {
        forecast.rules.models.context = 300;
        const PlanReply some = reply();
        CHECK(some.context == 300);
        CHECK(some.positions == std::vector<double>{0, 299});
        CHECK(some.prompt == 300);
        for (const auto& count : some.counts) CHECK(count.decode.size() == 2);
    }
}

}  // namespace forecast_test
