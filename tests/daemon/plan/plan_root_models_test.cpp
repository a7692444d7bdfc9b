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

struct Fixture {
    SmallDaemon::Options options;
    std::unique_ptr<SmallDaemon> node;

    void build(const std::filesystem::path& first = long_model()) {
        options.models = {first, other_model()};
        options.settings.turn_ms = 100;
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
        const auto has_memory = [&](std::uint64_t bytes) {
            node->memory = bytes;
            node->control.call([&] { node->core.describe(); });
        };
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
        const auto forecast = [&](std::size_t index) {
            const std::uint64_t id = node->start(PlanRequest{hashes[index], 0});
            REQUIRE(ends(id));
            const Story told = story(id);
            const auto* plan = std::get_if<PlanReply>(&told.events.back());
            REQUIRE(plan != nullptr);
            return *plan;
        };
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
}

}  // namespace plan_root_models_test
