// Several models under one root.
#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/daemon/small_daemon.hpp"
#include "tests/instrumented.hpp"

namespace plan_root_models_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

constexpr std::uint32_t kManyTokens = by_speed(15'000, 6000);
const mesh::DeviceId kTwo = device_id(2);

struct Fixture {
    SmallDaemon::Options options;
    std::unique_ptr<SmallDaemon> node;

    void build(const std::filesystem::path& first = long_model(),
               const std::filesystem::path& second = other_model()) {
        options.models = {first, second};
        node = std::make_unique<SmallDaemon>(options);
        for (const CatalogueEntry& entry : node->catalogue.list()) {
            hashes.push_back(entry.hash.hex());
        }
    }
    std::uint64_t submit(Generate request, std::size_t index) {
        request.model = hashes.at(index);
        return node->start(std::move(request));
    }
    bool ends(std::uint64_t id) { return node->ends(id); }
    void has_memory(std::uint64_t bytes) {
        node->memory = bytes;
        node->control.call([&] { node->core.describe(); });
    }
    PlanReply forecast(std::size_t index) {
        const std::uint64_t id = node->start(PlanRequest{hashes.at(index), 0});
        REQUIRE(ends(id));
        const Story told = story(id);
        const auto* plan = std::get_if<PlanReply>(&told.events.back());
        return plan == nullptr ? PlanReply() : *plan;
    }
    bool load(std::size_t index) {
        const std::uint64_t id = node->start(LoadRequest{hashes.at(index)});
        return ends(id) && story(id).done() != nullptr;
    }
    /// The plan at hand becomes that.
    bool becomes(PlanLife::State state) {
        return node->eventually([&] { return node->core.root().state() == state; });
    }
    /// As devices say it whose engines do nothing. Of the plan that was offered last: the number.
    std::uint32_t loads(std::size_t plans) {
        REQUIRE(node->eventually([&] {
            return node->core.member().offer() != nullptr &&
                   node->core.member().offer()->plan.number == plans;
        }));
        node->control.call([&] {
            const PlanOffer offer = *node->core.member().offer();
            node->core.on_loaded(offer.plan.id(), {10, 10, 10, 10});
        });
        return static_cast<std::uint32_t>(plans);
    }
    mesh::PlanId at_work() {
        return node->control.call([&] { return node->core.member().offer()->plan.id(); });
    }
    void starts() {
        REQUIRE(becomes(PlanLife::State::starting));
        const mesh::PlanId plan = at_work();
        node->control.call([&] { node->core.on_started(plan); });
    }
    void parks() {
        const mesh::PlanId plan = at_work();
        node->control.call([&] { node->core.on_parked(plan); });
    }
    Story story(std::uint64_t id) const { return node->story(id); }
    std::vector<LoadedModel> loaded() {
        return node->control.call([&] { return node->core.root().loaded(); });
    }
    bool loaded_are(const std::vector<std::size_t>& models) {
        return eventually([&] {
            std::vector<std::string> expected, found;
            for (const std::size_t m : models) expected.push_back(hashes.at(m));
            for (const LoadedModel& model : loaded()) found.push_back(model.hash);
            return found == expected;
        });
    }

    std::vector<std::string> hashes;
    Fixture() { options.settings.turn_ms = 100; }
};

}  // namespace

TEST_SUITE("PlanRoot, several models") {
    TEST_CASE_FIXTURE(Fixture, "models take turns, and no answer is another one for it") {
        build();
        auto request = greedy("Once upon a time", kManyTokens);
        request.ignore_eos = true;
        const std::uint64_t alone = submit(request, 0);
        REQUIRE(ends(alone));
        const std::uint64_t other_alone = submit(greedy("hello", 5), 1);
        REQUIRE(ends(other_alone));

        // A long answer does not hold up the other model's, again and again.
        const std::uint64_t first = submit(request, 0);
        REQUIRE(eventually([&] { return story(first).ids().size() > 2; }));
        const std::uint64_t other = submit(greedy("hello", 5), 1);
        REQUIRE(ends(other));
        CHECK(story(other).ids() == story(other_alone).ids());
        CHECK_FALSE(story(first).over());
        REQUIRE(ends(first));
        CHECK(story(first).numbered());
        CHECK(story(first).ids() == story(alone).ids());
        CHECK(story(first).text() == story(alone).text());
        CHECK(loaded_are({0, 1}));
        CHECK(loaded().at(0).at_work);
        CHECK_FALSE(loaded().at(1).at_work);
        CHECK(loaded().at(1).weight_bytes > 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a job that waits for its model's next turn can be cancelled") {
        build();
        auto request = greedy("Once upon a time", kManyTokens);
        request.ignore_eos = true;
        const std::uint64_t first = submit(request, 0);
        REQUIRE(eventually([&] { return story(first).ids().size() > 2; }));
        const std::uint64_t other = submit(request, 1);
        REQUIRE(eventually([&] { return !story(other).ids().empty(); }));
        node->cancel(first);
        REQUIRE(ends(first));
        REQUIRE(ends(other));
        CHECK(story(other).done() != nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "a model leaves the memory when it is told to") {
        build();
        auto request = greedy("hello", 5);
        request.keep_alive = 0;
        REQUIRE(ends(submit(request, 0)));
        CHECK(loaded_are({}));
        // What one request said holds for the next that says nothing, while the model is there.
        REQUIRE(ends(submit(greedy("hello", 5), 0)));
        REQUIRE(ends(submit(greedy("hello", 5), 1)));
        CHECK(loaded_are({1, 0}));
        const std::uint64_t unload = node->start(UnloadRequest{hashes[0]});
        REQUIRE(ends(unload));
        CHECK(story(unload).done() != nullptr);
        CHECK(loaded_are({1}));
        REQUIRE(ends(node->start(UnloadRequest{hashes[1]})));
        CHECK(loaded_are({}));
        // One that is not there stays when it comes.
        REQUIRE(ends(node->start(UnloadRequest{hashes[1]})));
        REQUIRE(ends(submit(greedy("hello", 5), 1)));
        CHECK(loaded_are({1}));
        CHECK(loaded().at(0).unloads_after < 0);
        request.keep_alive = 1;
        REQUIRE(ends(submit(request, 1)));
        CHECK(loaded_are({}));
    }

    TEST_CASE_FIXTURE(Fixture, "one makes room for another, unless it is to stay") {
        build(tiny_model());
        auto request = greedy("hello", 5);
        const auto succeeds = [&](std::size_t index) {
            const std::uint64_t id = submit(request, index);
            return ends(id) && story(id).done() != nullptr;
        };
        std::uint64_t enough = 100'000;  // for one, whole
        do {
            REQUIRE(ends(node->start(UnloadRequest{hashes[0]})));
            has_memory(enough = enough * 5 / 4);
            REQUIRE(enough < 100'000'000);
        } while (!succeeds(0) || loaded().at(0).context < 1024);
        CHECK(forecast(0).leaving.empty());
        CHECK(forecast(0).context == loaded().at(0).context);
        CHECK(forecast(1).leaving == std::vector<std::string>{"tiny"});
        CHECK(loaded_are({0}));
        REQUIRE(succeeds(1));
        CHECK(loaded_are({1}));
        CHECK(forecast(0).leaving == std::vector<std::string>{"other"});
        request.keep_alive = -1;
        REQUIRE(ends(submit(request, 1)));
        CHECK(loaded().at(0).pinned);
        const std::uint64_t refused = submit(greedy("hello", 5), 0);
        REQUIRE(ends(refused));
        if (story(refused).failed() != nullptr) {
            CHECK(story(refused).failed()->message.find("unload other") != std::string::npos);
        } else {
            // With a shorter context there was room beside it.
            CHECK(loaded_are({0, 1}));
            CHECK(loaded().at(0).context < loaded().at(1).context);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "two that displace each other again and again share the memory") {
        build(long_model(), other_long_model());
        std::uint64_t enough = 10'000'000;  // for one with a long context, not for both
        do {
            has_memory(enough += enough / 16);
            REQUIRE(enough < 1'000'000'000);
        } while (forecast(0).context < 5 * ParkedPlans::kRoomy);
        for (const std::size_t model : {0U, 1U, 0U}) {
            REQUIRE(load(model));
            REQUIRE(loaded_are({model}));
            CHECK(loaded().at(0).context >= 5 * ParkedPlans::kRoomy);
        }
        // The first one is gone for the second time, and room is left for it.
        REQUIRE(load(1));
        REQUIRE(loaded_are({1}));
        CHECK(loaded().at(0).context >= ParkedPlans::kRoomy);
        CHECK(loaded().at(0).context < 5 * ParkedPlans::kRoomy);
        REQUIRE(load(0));
        CHECK(loaded_are({0, 1}));
        CHECK(loaded().at(0).context >= ParkedPlans::kRoomy);
        REQUIRE(load(1));
        CHECK(loaded_are({1, 0}));
    }

    TEST_CASE_FIXTURE(Fixture, "turns in which a job comes to nothing become longer") {
        options.carries = false;
        options.settings.turn_ms = 50;
        build();
        submit(greedy("a", 5), 0);
        const std::uint64_t other = submit(greedy("b", 5), 1);
        loads(1);
        for (const int turn : {50, 100, 200, 400}) {
            CAPTURE(turn);
            REQUIRE(becomes(PlanLife::State::starting));
            const auto begun = ControlLoop::Clock::now();
            starts();
            REQUIRE(becomes(PlanLife::State::parking));
            CHECK(ControlLoop::Clock::now() - begun >= std::chrono::milliseconds(turn));
            parks();
            if (turn == 50) loads(2);
            if (turn == 400) break;
            starts();
            REQUIRE(becomes(PlanLife::State::parking));
            parks();
        }
        CHECK_FALSE(story(other).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device that leaves a plan which is being parked ends it") {
        options.carries = false;
        options.settings.turn_ms = 1;
        options.plan_patience.reports = std::chrono::seconds(2);  // in which it parks
        build();
        node->join(2);
        const auto offered = [&](std::size_t count) {
            return eventually([&] { return node->sent_to<PlanOffer>(kTwo).size() == count; });
        };
        const auto model_of = [&] { return node->sent_to<PlanOffer>(kTwo).back().model_name; };
        const auto run = [&](std::uint32_t number) {
            const PlanRef plan = node->sent_to<PlanOffer>(kTwo).back().plan;
            CHECK(plan.number == number);
            node->tell(kTwo, PlanLoaded{plan, 10, 10, 10, 10});
            loads(number);
            starts();
        };
        submit(greedy("a", 5), 0);
        submit(greedy("b", 5), 1);
        REQUIRE(offered(1));
        CHECK(model_of() == "long");
        run(1);
        REQUIRE(becomes(PlanLife::State::parking));
        const PlanRef left = node->sent_to<PlanOffer>(kTwo).back().plan;
        node->tell(kTwo, PlanEnd{left, "it started again", Fault::none, {}});
        parks();
        CHECK(node->control.call([&] { return node->core.root().state(); }) ==
              PlanLife::State::parking);
        // Nothing of it is held; whose turn it is does not change by that.
        REQUIRE(offered(2));
        CHECK(model_of() == "other");
        CHECK(loaded_are({}));
        run(2);
        REQUIRE(becomes(PlanLife::State::parking));
        parks();
        REQUIRE(offered(3));
        CHECK(model_of() == "long");
        CHECK(loaded_are({1}));
        CHECK(node->sent_to<PlanStart>(kTwo).size() == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "a root does not step down for a model beside one that is to stay") {
        build(tiny_model());
        node->join(2);
        const auto loads_at_two = [&](std::size_t count) {
            REQUIRE(eventually([&] { return node->sent_to<PlanOffer>(kTwo).size() == count; }));
            const PlanRef plan = node->sent_to<PlanOffer>(kTwo).back().plan;
            node->tell(kTwo, PlanLoaded{plan, 10, 10, 10, 10});
        };
        auto request = greedy("hello", 5);
        request.keep_alive = -1;
        const std::uint64_t first = submit(request, 0);
        loads_at_two(1);
        REQUIRE(ends(first));
        // Not enough is left for a root's part of another; the other device has as much as it
        // wants.
        const HeldBytes held =
            node->control.call([&] { return node->core.root().devices().at(node->self).held; });
        has_memory(held.weights + held.kv_cache + held.buffers + 500'000);
        const std::uint64_t refused = submit(greedy("hello", 5), 1);
        REQUIRE(ends(refused));
        REQUIRE(story(refused).failed() != nullptr);
        CHECK(story(refused).failed()->code == ErrorCode::too_large);
        CHECK(story(refused).failed()->message.find("unload tiny") != std::string::npos);
        CHECK(node->warning("cannot-lead", node->self).empty());
        CHECK(loaded_are({0}));
        REQUIRE(ends(node->start(UnloadRequest{hashes[0]})));
        const std::uint64_t second = submit(greedy("hello", 5), 1);
        loads_at_two(2);
        REQUIRE(ends(second));
        CHECK(story(second).done() != nullptr);
    }
}

}  // namespace plan_root_models_test
