// Single stories of whole daemons: what the seeds' runs are made of, each by itself.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "tests/daemon/simulation/world.hpp"
#include "tests/daemon/support.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace shoal::tests::simulation;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// Failures, more than there are plans.
constexpr std::uint32_t kMany = 1000;

struct Fixture {
    Coverage coverage;
    World world{1, coverage, false};

    /// Devices that have every file; the first one is preferred as root.
    void build(std::size_t devices) {
        for (std::size_t i = 0; i < devices; ++i) {
            Machine machine;
            machine.disk = {0, 1};
            machine.priority = i == 0 ? 1 : 0;
            world.add(machine);
            world.start(i);
        }
        REQUIRE(agreed(devices));
        REQUIRE(root() == 0);
    }
    bool agreed(std::size_t devices) {
        std::vector<std::size_t> all;
        for (std::size_t i = 0; i < devices; ++i) all.push_back(i);
        return world.run_until([&] { return world.network.common_root(all).has_value(); },
                               seconds(10));
    }
    std::optional<std::size_t> root() { return world.network.root(0); }

    static Generate request(std::uint32_t tokens = 30, const std::string& model = "tiny") {
        Generate request;
        request.model = model;
        request.prompt = "hello";
        request.max_tokens = tokens;
        request.ignore_eos = true;
        return request;
    }
    std::shared_ptr<Story> ask(std::size_t device, Generate generate) {
        auto story = std::make_shared<Story>();
        world.life(device).core.service().start(
            std::move(generate), Door::control,
            [story](const Event& event) { story->events.push_back(event); });
        return story;
    }
    bool generates(const Story& story, std::size_t tokens) {
        return world.run_until([&] { return story.ids().size() >= tokens; }, seconds(60));
    }
    bool ends(const Story& story) {
        return world.run_until([&] { return story.over(); }, seconds(60));
    }
    /// Of the last of three devices, in the plan at hand.
    std::uint32_t columns() {
        const PlanOffer offer = *world.life(0).core.member().offer();
        const auto part =
            std::find_if(offer.devices.begin(), offer.devices.end(),
                         [&](const PlanDevice& d) { return d.id == world.network.id(2).bytes; });
        return part->slice.ffn.end - part->slice.ffn.begin;
    }
    bool is_slow(std::size_t device) {
        const auto warnings = world.life(0).core.warnings().list();
        return std::any_of(warnings.begin(), warnings.end(), [&](const Warning& warning) {
            return warning.name == "slow-device" &&
                   warning.device == world.network.id(device).hex();
        });
    }
    /// Each plan that the device takes part in fails, as soon as it runs or after a while.
    const Faults& fails_always(std::size_t device) {
        Faults& faults = world.machine(device).faults;
        faults.runs_to_fail = kMany;
        SUBCASE("at once") {}
        SUBCASE("after some tokens each time") {
            faults.good_steps = 3;
        }
        return faults;
    }
    void check_undisturbed(const Story& story, const Generate& generate) {
        CHECK(story.numbered());
        CHECK(story.ids() == undisturbed(*model_files()[0].open, generate).ids);
        REQUIRE(story.done() != nullptr);
        CHECK(story.done()->reason == StopReason::length);
    }
};

}  // namespace

TEST_SUITE("simulation: stories") {
    TEST_CASE_FIXTURE(Fixture, "all devices take part in a request of any of them") {
        build(3);
        for (const std::size_t device : {0, 2}) {
            const auto story = ask(device, request());
            REQUIRE(ends(*story));
            check_undisturbed(*story, request());
            CHECK(story->done()->devices == 3);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a request goes on at another root, after what was shown") {
        build(3);
        const auto story = ask(2, request());
        REQUIRE(generates(*story, 5));
        world.stop(0, World::End::power_loss);
        REQUIRE(ends(*story));
        check_undisturbed(*story, request());
        CHECK(story->done()->devices == 2);
        CHECK(world.life(2).core.router().pending() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a request goes on without a device that is lost") {
        build(3);
        const auto story = ask(0, request());
        REQUIRE(generates(*story, 5));
        world.stop(1, World::End::crash);
        REQUIRE(ends(*story));
        check_undisturbed(*story, request());
        CHECK(story->done()->devices == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "a device that confesses a fault is left out, and tried again") {
        build(3);
        world.machine(1).faults.runs_to_fail = 1;
        const auto story = ask(0, request());
        REQUIRE(ends(*story));
        check_undisturbed(*story, request());
        CHECK(story->done()->devices == 2);
        world.run(seconds(6));
        const auto later = ask(0, request());
        REQUIRE(ends(*later));
        CHECK(later->done()->devices == 3);
    }

    TEST_CASE_FIXTURE(Fixture, "a device that is slower than it said gets less in the next plan") {
        build(3);
        const auto run = [&] {
            const auto story = ask(0, request(200));
            REQUIRE(ends(*story));
            check_undisturbed(*story, request(200));
        };
        world.machine(2).faults.slowness = 10;
        run();
        const std::uint32_t before = columns();
        run();
        CHECK(columns() < before / 3);
        CHECK(is_slow(2));
    }

    TEST_CASE_FIXTURE(Fixture, "a device is found to be slow also while models take turns") {
        build(3);
        world.machine(2).faults.slowness = 10;
        const auto tiny = ask(0, request(1000)), other = ask(0, request(1000, "other"));
        REQUIRE(generates(*tiny, 2));
        REQUIRE(generates(*other, 2));
        const std::uint32_t before = columns();
        REQUIRE(world.run_until([&] { return is_slow(2); }, seconds(60)));
        // The plans of both models are made anew.
        for (const auto& story : {tiny, other, tiny}) {
            REQUIRE(generates(*story, story->ids().size() + 5));
            CHECK(columns() < before / 3);
            CHECK_FALSE(story->over());
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a device that is slow for a second stays what it was") {
        build(3);
        const auto tiny = ask(0, request(1000)), other = ask(0, request(1000, "other"));
        REQUIRE(generates(*other, 2));
        for (int i = 0; i < 3; ++i) {
            world.machine(2).faults.slowness = 100;
            world.run(seconds(1));
            world.machine(2).faults.slowness = 1;
            world.run(seconds(15));
        }
        CHECK_FALSE(is_slow(2));
        CHECK_FALSE(tiny->over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device that fails in every plan is tried less and less") {
        build(3);
        const Faults& faults = fails_always(1);
        const auto end = world.time.now() + std::chrono::minutes(10);
        while (world.time.now() < end) {
            const auto story = ask(0, request());
            REQUIRE(ends(*story));
            check_undisturbed(*story, request());
            world.run(seconds(1));
        }
        // After 5, 10, 20, 40, 80, 160 and 320 s.
        CHECK(kMany - faults.runs_to_fail <= 8);
        CHECK(kMany - faults.runs_to_fail >= 6);
    }

    TEST_CASE_FIXTURE(Fixture, "a root that fails again and again lets another lead") {
        build(3);
        const Faults& faults = fails_always(0);
        const auto story = ask(2, request(100));
        REQUIRE(ends(*story));
        check_undisturbed(*story, request(100));
        CHECK(root() != 0);
        CHECK(kMany - faults.runs_to_fail <= 4);
    }

    TEST_CASE_FIXTURE(Fixture, "a device too small to lead makes room for one that failed") {
        for (const std::int32_t priority : {1, 0}) {
            Machine machine;
            machine.disk = {0, 1};
            machine.priority = priority;
            machine.memory = priority == 1 ? 1024 : 0;
            world.add(machine);
            world.start(world.size() - 1);
        }
        REQUIRE(agreed(2));
        REQUIRE(root() == 0);
        world.machine(1).faults.runs_to_fail = 3;
        for (int i = 0; i < 3; ++i) {
            const auto story = ask(i % 2, request());
            REQUIRE(ends(*story));
            check_undisturbed(*story, request());
            CHECK(root() == 1);
        }
        CHECK(world.machine(1).faults.runs_to_fail == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a request under which every plan fails is given up, not devices") {
        build(4);
        Generate killer = request();
        killer.prompt = kPoison;
        const auto given_up = ask(3, killer);
        const auto good = ask(3, request());
        REQUIRE(ends(*given_up));
        REQUIRE(given_up->failed() != nullptr);
        CHECK(given_up->failed()->code == ErrorCode::internal);
        CHECK(given_up->failed()->message.find("a step threw") != std::string::npos);
        REQUIRE(ends(*good));
        check_undisturbed(*good, request());
        const auto later = ask(3, request());
        REQUIRE(ends(*later));
        CHECK(later->done()->devices == 4);
    }

    TEST_CASE_FIXTURE(Fixture, "a request that no root alone survives takes no other with it") {
        build(1);
        Generate killer = request();
        killer.prompt = kPoison;
        std::vector<std::shared_ptr<Story>> good;
        const auto given_up = ask(0, killer);
        for (int i = 0; i < 5; ++i) good.push_back(ask(0, request()));
        for (const auto& story : good) {
            REQUIRE(ends(*story));
            check_undisturbed(*story, request());
        }
        REQUIRE(given_up->failed() != nullptr);
        CHECK(given_up->failed()->message.find("given up") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a request that ends the process of every root is given up") {
        build(3);
        Machine bystander;
        bystander.disk = {0, 1};
        bystander.priority = -1;  // it never leads
        const std::size_t attached = world.add(bystander);
        world.start(attached);
        REQUIRE(agreed(4));
        std::size_t crashes = 0;
        world.watch = [&] {
            for (std::size_t i = 0; i < attached; ++i) {
                if (!world.lives(i)) continue;
                const PlanRoot& plans = world.life(i).core.root();
                if (plans.state() != PlanLife::State::running || plans.pending() == 0) continue;
                ++crashes;
                world.stop(i, World::End::crash);
                world.at(milliseconds(500), [this, i] { world.start(i); });
            }
        };
        const auto story = ask(attached, request());
        REQUIRE(world.run_until([&] { return story->over(); }, seconds(300)));
        REQUIRE(story->failed() != nullptr);
        CHECK(story->failed()->message.find("given up") != std::string::npos);
        CHECK(crashes == Attached::kMaxLostRoots);
    }

    TEST_CASE_FIXTURE(Fixture, "both halves of a network cut in two go on by themselves") {
        build(4);
        const auto here = ask(0, request(80));
        const auto there = ask(3, request(80));
        REQUIRE(generates(*there, 5));
        world.network.set_reachable(
            [](std::size_t a, std::size_t b) { return (a < 2) == (b < 2); });
        REQUIRE(ends(*here));
        REQUIRE(ends(*there));
        check_undisturbed(*here, request(80));
        check_undisturbed(*there, request(80));
        CHECK(here->done()->devices == 2);
        CHECK(there->done()->devices == 2);
        world.network.set_reachable([](auto, auto) { return true; });
        CHECK(agreed(4));
    }

    TEST_CASE_FIXTURE(Fixture, "a connection that two devices lose is planned around at once") {
        build(3);
        const auto story = ask(0, request(100));
        REQUIRE(generates(*story, 5));
        world.network.set_reachable([](std::size_t a, std::size_t b) { return a + b != 3; });
        REQUIRE(ends(*story));
        check_undisturbed(*story, request(100));
        CHECK(story->done()->devices == 2);
        // Before the engines miss each other.
        CHECK(coverage.count("engine: a device stayed silent") == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a cancelled request ends, and makes room for the next") {
        build(2);
        const auto story = std::make_shared<Story>();
        http::Service& service = world.life(1).core.service();
        const auto ticket =
            service.start(request(100'000), Door::control,
                          [story](const Event& event) { story->events.push_back(event); });
        REQUIRE(generates(*story, 5));
        service.cancel(ticket);
        REQUIRE(ends(*story));
        REQUIRE(story->done() != nullptr);
        CHECK(story->done()->reason == StopReason::cancelled);
        CHECK(world.life(0).core.root().pending() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "what waits for room on the way to a device is lost with it") {
        build(3);
        const auto story = ask(2, request(100'000));
        REQUIRE(generates(*story, 5));
        const auto waits = [&] {
            const auto timers = world.life(0).loop.waiting();
            return std::count(timers.begin(), timers.end(), "messages that found no room") != 0;
        };
        world.machine(0).faults.full = true;
        REQUIRE(world.run_until(waits, seconds(10)));
        world.stop(2, World::End::power_loss);
        REQUIRE(
            world.run_until([&] { return world.life(0).mesh.members().size() == 2; }, seconds(20)));
        world.machine(0).faults.full = false;
        CHECK(world.run_until([&] { return !waits(); }, seconds(10)));
    }
}
