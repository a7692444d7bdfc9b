#include "daemon/plan/plan_root.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "daemon/plan/device_profile.hpp"
#include "daemon/plan/offer.hpp"
#include "tests/daemon/small_daemon.hpp"
#include "tests/instrumented.hpp"

namespace plan_root_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);
/// An answer that takes long enough for something to happen meanwhile.
constexpr std::uint32_t kManyTokens = by_speed(6000, 600);

struct Fixture {
    SmallDaemon::Options options;
    std::unique_ptr<SmallDaemon> node;

    void build(std::uint8_t devices = 1) {
        node = std::make_unique<SmallDaemon>(options);
        for (std::uint8_t n = 2; n <= devices; ++n) node->join(n);
    }
    std::string hash(std::size_t index) const {
        return node->catalogue.list().at(index).hash.hex();
    }
    std::uint64_t submit(Generate request, std::size_t index = 0) {
        request.model = hash(index);
        return node->start(std::move(request));
    }
    Story story(std::uint64_t id) const { return node->story(id); }
    bool ends(std::uint64_t id) { return node->ends(id); }
    bool busy(std::uint64_t id) {
        node->control.drain();
        return story(id).over() && story(id).failed()->code == ErrorCode::busy;
    }
    bool generates(std::uint64_t id, std::size_t tokens) {
        return eventually([&] { return story(id).ids().size() >= tokens; });
    }
    bool offered(const mesh::DeviceId& device, std::size_t count) {
        return eventually([&] { return offers(device) >= count; });
    }
    std::size_t offers(const mesh::DeviceId& device) {
        if (device != node->self) return node->sent_to<PlanOffer>(device).size();
        const auto plan = node->plan();
        return plan ? plan->plan.number : 0;
    }
    bool started(const mesh::DeviceId& device, std::size_t count) {
        return eventually([&] { return node->sent_to<PlanStart>(device).size() >= count; });
    }
    PlanOffer last_offer(const mesh::DeviceId& device) {
        return node->sent_to<PlanOffer>(device).back();
    }
    // Who takes part in the plan, in rank order.
    std::vector<mesh::DeviceId> planned() {
        std::vector<mesh::DeviceId> out;
        const PlanOffer offer = node->plan().value();
        for (const PlanDevice& d : offer.devices) out.push_back({d.id});
        return out;
    }
    // A device has loaded what it was offered last.
    void loaded(const mesh::DeviceId& device, bool keeps = false) {
        const PlanRef plan = node->plan().value().plan;
        if (device != node->self) {
            return node->tell(device, PlanLoaded{plan, 10, 10, 10, 10, keeps});
        }
        node->control.call([&] { node->core.on_loaded(plan.id(), {10, 10, 10, 10, keeps}); });
    }
    // All of them have, and this one's engine started.
    void start_plan() {
        for (const mesh::DeviceId& id : planned()) loaded(id);
        node->control.call([&] { node->core.on_started(node->core.member().offer()->plan.id()); });
    }
    void ends_plan(const mesh::DeviceId& device, const std::string& error, Fault fault,
                   const std::vector<mesh::DeviceId>& missing = {}) {
        const PlanRef plan = node->plan().value().plan;
        if (device == node->self) {
            return node->control.call([&] {
                node->core.on_ended(plan.id(), {error, fault, missing});
            });
        }
        PlanEnd end{plan, error, fault, {}};
        for (const mesh::DeviceId& id : missing) end.peers.push_back(id.bytes);
        node->tell(device, end);
    }
    void has_memory(std::uint64_t bytes) {
        node->memory = bytes;
        node->control.call([&] { node->core.describe(); });
    }
    std::uint64_t made(PlanCause cause) const {
        return node->core.plan_figures().made.at(static_cast<std::size_t>(cause));
    }
    std::string left_out(const mesh::DeviceId& device) { return node->warning("left-out", device); }
    std::string abdicated() { return node->warning("cannot-lead", node->self); }
    // What a job gives that nothing disturbs.
    static Story undisturbed(const std::filesystem::path& path, const Generate& request) {
        Fixture alone;
        alone.options.models = {path};
        alone.build();
        const std::uint64_t id = alone.submit(request);
        REQUIRE(alone.ends(id));
        return alone.story(id);
    }
};

// Enough tokens that something can happen while they come.
Generate long_job() {
    return greedy("Once upon a time", 1500);
}

}  // namespace

TEST_SUITE("PlanRoot") {
    TEST_CASE_FIXTURE(Fixture, "one device plans for itself and runs the job") {
        build();
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(ends(id));
        CHECK(story(id).numbered());
        CHECK(story(id).ids().size() == 5);
        REQUIRE(story(id).done() != nullptr);
        CHECK(story(id).done()->reason == StopReason::length);
        CHECK(story(id).done()->model == "tiny");
    }

    TEST_CASE_FIXTURE(Fixture, "the plan is offered to all and starts when all have loaded") {
        build(3);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        REQUIRE(offered(kThree, 1));
        const auto offer = last_offer(kTwo);
        REQUIRE(offer.devices.size() == 3);
        CHECK(offer.devices[0].id == node->self.bytes);
        CHECK(offer.devices[1].id == kTwo.bytes);
        const auto model = open_model(tiny_model());
        const std::uint32_t step = shard::ffn_cut_step(model->source->header(), model->hparams);
        CHECK(check_offer(offer, model->hparams, step) == std::nullopt);
        loaded(kTwo);
        loaded(kTwo);
        REQUIRE(
            node->eventually([&] { return node->core.root().devices().at(node->self).loaded; }));
        CHECK(node->sent_to<PlanStart>(kTwo).empty());
        loaded(kThree);
        REQUIRE(started(kTwo, 1));
        REQUIRE(started(kThree, 1));
        CHECK(ends(id));
        CHECK(story(id).done()->devices == 1);  // this node's engine runs it alone
    }

    TEST_CASE_FIXTURE(Fixture, "a start says whether all devices keep blocks") {
        for (const bool two : {true, false}) {
            options.carries = false;
            build(2);
            submit(greedy("hello", 5));
            REQUIRE(offered(kTwo, 1));
            loaded(kTwo, two);
            loaded(node->self, true);
            REQUIRE(started(kTwo, 1));
            CHECK(node->sent_to<PlanStart>(kTwo)[0].keeps_blocks == two);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while loading is planned without") {
        build(3);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kThree, 1));
        loaded(kTwo);
        node->lose(kThree);
        REQUIRE(offered(kTwo, 2));
        CHECK(made(PlanCause::first) == 1);
        CHECK(made(PlanCause::lost) == 1);
        CHECK(last_offer(kTwo).devices.size() == 2);
        CHECK(node->sent_to<PlanEnd>(kTwo).size() == 1);
        // What the old plan's devices say no longer counts.
        const PlanRef old = node->sent_to<PlanOffer>(kTwo).front().plan;
        node->tell(kTwo, PlanLoaded{old, 1, 1, 1, 1});
        node->tell(kTwo, PlanEnd{old, "old", Fault::own, {}});
        CHECK(node->sent_to<PlanStart>(kTwo).empty());
        loaded(kTwo);
        CHECK(ends(id));
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while starting is planned without") {
        options.carries = false;
        build(2);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        loaded(node->self);
        REQUIRE(started(kTwo, 1));
        node->lose(kTwo);
        REQUIRE(offered(node->self, 2));
        CHECK(planned().size() == 1);
        CHECK_FALSE(story(id).over());
        // It was not the first plan's fault: nothing is counted against the job.
        for (int i = 0; i < 10; ++i) node->lose(kTwo);
        CHECK_FALSE(story(id).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while a job runs costs no token and no text") {
        options.models = {long_model()};
        const Story expected = undisturbed(long_model(), long_job());
        build(3);
        const std::uint64_t id = submit(long_job());
        for (const std::size_t plan : {1U, 2U, 3U}) {
            CAPTURE(plan);
            const auto device = plan == 1 ? kThree : kTwo;
            if (plan < 3) REQUIRE(offered(device, plan));
            if (plan < 3) loaded(kTwo);
            if (plan < 2) loaded(kThree);
            REQUIRE(generates(id, plan * 100));
            if (plan < 3) node->lose(device);
        }
        REQUIRE(ends(id));
        CHECK(story(id).numbered());
        CHECK(story(id).ids() == expected.ids());
        CHECK(story(id).text() == expected.text());
        CHECK(story(id).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a device that cannot do its part is left out, and named") {
        build(3);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        ends_plan(kTwo, "the disk is full", Fault::own);
        REQUIRE(offered(kThree, 2));
        CHECK(made(PlanCause::failure) == 1);
        CHECK(planned() == std::vector{node->self, kThree});
        CHECK(left_out(kTwo).find("the disk is full") != std::string::npos);
        loaded(kThree);
        REQUIRE(ends(id));
        CHECK(story(id).done() != nullptr);
        // It comes back by itself later; one that starts again is tried at once, and no longer
        // named.
        node->lose(kTwo);
        node->join(2);
        const std::uint64_t next = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 2));
        CHECK(eventually([&] { return left_out(kTwo).empty(); }));
        loaded(kTwo);
        loaded(kThree);
        CHECK(ends(next));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a device that fails each time while it runs costs a pause each time") {
        options.models = {long_model()};
        const Generate request = greedy("Once upon a time", kManyTokens);
        const Story expected = undisturbed(long_model(), request);
        build(3);
        const std::uint64_t id = submit(request);
        REQUIRE(offered(kThree, 1));
        loaded(kTwo);
        loaded(kThree);
        REQUIRE(generates(id, 20));
        ends_plan(kThree, "out of memory", Fault::own);
        REQUIRE(offered(kTwo, 2));
        CHECK(planned() == std::vector{node->self, kTwo});
        loaded(kTwo);
        REQUIRE(generates(id, 40));
        ends_plan(kTwo, "out of memory", Fault::own);
        REQUIRE(ends(id));
        CHECK(story(id).ids() == expected.ids());
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "other rules hold from the next job on, which is planned anew") {
        build(2);
        const std::uint64_t first = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        REQUIRE(ends(first));
        config::PlanSettings without;
        without.exclude = {kTwo.hex()};
        node->control.call([&] { node->core.set({}, without); });
        const std::uint64_t second = submit(greedy("hello", 5));
        REQUIRE(ends(second));
        CHECK(made(PlanCause::rules) == 1);
        CHECK(node->core.plan_figures().loading_seconds > 0);
        CHECK(planned() == std::vector{node->self});
        CHECK(offers(kTwo) == 1);
        CHECK(story(second).ids() == story(first).ids());
    }

    TEST_CASE_FIXTURE(Fixture, "a file that a device fetched is put to use when no job runs") {
        options.settings.prefill = config::Prefill::sequence;
        options.carries = false;
        build(2);
        const auto load = [&] { return node->start(LoadRequest{hash(0)}); };
        const std::uint64_t first = load();
        REQUIRE(offered(kTwo, 1));
        const PlanOffer before = last_offer(kTwo);
        CHECK_FALSE(before.devices[0].wants_file);
        CHECK(before.devices[1].wants_file);
        CHECK(before.devices[1].row_share == 0);
        start_plan();
        REQUIRE(ends(first));
        REQUIRE(ends(load()));
        CHECK(offers(kTwo) == 1);
        Announcement announcement;
        announcement.models = {announced(node->catalogue.list().at(0))};
        node->join(other_device(2), announcement);
        CHECK(offers(kTwo) == 1);
        REQUIRE(offered(kTwo, 2));
        const PlanOffer after = last_offer(kTwo);
        CHECK(made(PlanCause::files) == 1);
        CHECK_FALSE(after.devices[1].wants_file);
        CHECK(after.devices[1].row_share != 0);
        start_plan();
        REQUIRE(ends(load()));
        CHECK(offers(kTwo) == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "jobs that could run do not wait for a device on probation") {
        options.models = {long_model()};
        build(2);
        const std::uint64_t first = submit(greedy("a", 20'000));
        REQUIRE(offered(kTwo, 1));
        ends_plan(kTwo, "the disk is full", Fault::own);
        REQUIRE(generates(first, 5));
        node->lose(kTwo);
        node->join(2);
        const std::uint64_t second = submit(greedy("b", 3));
        REQUIRE(ends(second));
        CHECK_FALSE(story(first).over());
        node->cancel(first);
        REQUIRE(ends(first));
        const std::uint64_t third = submit(greedy("c", 3));
        REQUIRE(offered(kTwo, 2));
        loaded(kTwo);
        CHECK(ends(third));
    }

    TEST_CASE_FIXTURE(Fixture, "a device that does not come on with loading is left out") {
        // This device's own loading, which is real, comes on faster than that.
        options.plan_patience.stall = std::chrono::milliseconds(by_speed(100, 2000));
        build(3);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        loaded(kThree);
        REQUIRE(offered(kThree, 2));
        CHECK(planned() == std::vector{node->self, kThree});
        loaded(kThree);
        REQUIRE(ends(id));
        CHECK(left_out(kTwo).find("loading") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "shares follow the profile that a device announces") {
        build(3);
        mesh::messages::Announcement announcement;
        announcement.profile = message_of(planner::DeviceProfile::guess(0.5e9));
        node->join(other_device(2), announcement);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kThree, 1));
        std::map<mesh::DeviceId, std::uint32_t> columns;
        const PlanOffer offer = node->plan().value();
        for (const PlanDevice& device : offer.devices) {
            columns[{device.id}] = device.slice.ffn.end - device.slice.ffn.begin;
        }
        CHECK(columns.at(kTwo) < columns.at(kThree) / 3);
        CHECK_FALSE(story(id).over());
    }

    TEST_CASE_FIXTURE(Fixture, "of two devices that miss each other the slower is left out") {
        build(3);
        mesh::Member slower = other_device(2);
        slower.description.speed = 0.5;
        node->join(slower);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        ends_plan(kThree, "silence", Fault::peers, {kTwo});
        REQUIRE(offered(kThree, 2));
        CHECK(planned() == std::vector{node->self, kThree});
        loaded(kThree);
        CHECK(ends(id));
    }

    TEST_CASE_FIXTURE(Fixture, "one that is lost while others miss it is nobody else's fault") {
        build(3);
        mesh::Member slower = other_device(2);
        slower.description.speed = 0.5;
        node->join(slower);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        ends_plan(kTwo, "silence", Fault::peers, {kThree});
        node->lose(kThree);
        REQUIRE(offered(kTwo, 2));
        CHECK(planned() == std::vector{node->self, kTwo});
        loaded(kTwo);
        CHECK(ends(id));
        CHECK(left_out(kTwo).empty());
        CHECK(left_out(kThree).empty());
    }

    TEST_CASE_FIXTURE(Fixture,
                      "devices without a connection to each other are not planned together") {
        build(3);
        node->part(kTwo, kThree);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        CHECK(planned() == std::vector{node->self, kTwo});  // equally fast: the lower id stays
        loaded(kTwo);
        REQUIRE(ends(id));
        CHECK(eventually([&] { return left_out(kThree).find("device 2") != std::string::npos; }));
    }

    TEST_CASE_FIXTURE(Fixture, "a connection between two devices that breaks while a job runs") {
        options.models = {long_model()};
        const Generate request = greedy("Once upon a time", kManyTokens);
        const Story expected = undisturbed(long_model(), request);
        build(3);
        const std::uint64_t id = submit(request);
        REQUIRE(offered(kThree, 1));
        loaded(kTwo);
        loaded(kThree);
        REQUIRE(generates(id, 20));
        node->part(kTwo, kThree);
        REQUIRE(offered(kTwo, 2));
        CHECK(planned() == std::vector{node->self, kTwo});
        loaded(kTwo);
        REQUIRE(ends(id));
        CHECK(story(id).ids() == expected.ids());
    }

    TEST_CASE_FIXTURE(Fixture, "a device without memory for any part does not stop the others") {
        build(2);
        mesh::Member small = other_device(3);
        small.description.memory_available = 1000;
        node->join(small);
        const std::uint64_t id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        CHECK(planned() == std::vector{node->self, kTwo});
        loaded(kTwo);
        REQUIRE(ends(id));
        CHECK(left_out(kThree).find("memory") != std::string::npos);
        // Nothing changed: the model is not loaded again for the next job.
        REQUIRE(ends(submit(greedy("hello", 5))));
        CHECK(offers(kTwo) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a request under which plans fail is given up, not the devices") {
        options.carries = false;
        build(6);
        const std::uint64_t killer = submit(greedy("hello", 5));
        const std::uint64_t good = submit(greedy("hello", 5));
        for (std::uint8_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(node->self, plan));
            start_plan();
            // From the third plan on the first suspect is alone.
            ends_plan(device_id(plan + 1), "division by zero", Fault::own);
        }
        REQUIRE(ends(killer));
        CHECK(story(killer).failed()->message.find("division by zero") != std::string::npos);
        CHECK_FALSE(story(good).over());
        // All devices are back.
        REQUIRE(offered(node->self, 5));
        CHECK(planned().size() == 6);
    }

    TEST_CASE_FIXTURE(Fixture, "a request under which the root itself fails is given up as well") {
        options.carries = false;
        build(2);
        const std::uint64_t killer = submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            start_plan();
            ends_plan(node->self, "division by zero", Fault::own);
        }
        REQUIRE(ends(killer));
        CHECK(story(killer).failed()->message.find("division by zero") != std::string::npos);
        CHECK(abdicated().find("division by zero") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a root that fails lets another lead, when there is one") {
        options.carries = false;
        build(2);
        submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 2; ++plan) {
            REQUIRE(offered(kTwo, plan));
            CHECK(abdicated().empty());
            ends_plan(node->self, "the disk is full", Fault::own);
        }
        CHECK(
            eventually([&] { return abdicated().find("the disk is full") != std::string::npos; }));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a plan that fails by nobody's fault is tried a few times, then told") {
        build(2);
        const std::uint64_t id = submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            CHECK_FALSE(story(id).over());
            ends_plan(kTwo, "the stars are wrong", Fault::none);
        }
        REQUIRE(ends(id));
        REQUIRE(story(id).failed() != nullptr);
        CHECK(story(id).failed()->code == ErrorCode::unavailable);
        CHECK(story(id).failed()->message.find("the stars are wrong") != std::string::npos);
        CHECK(story(id).failed()->message.find("device 2") != std::string::npos);
        CHECK(offers(kTwo) == 4);
        // The next job gets as many tries.
        const std::uint64_t next = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 5));
        loaded(kTwo);
        CHECK(ends(next));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a plan that starts and fails before any token is not tried for ever") {
        options.carries = false;
        build(2);
        const std::uint64_t id = submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            start_plan();
            ends_plan(kTwo, "a step makes no sense", Fault::none);
        }
        REQUIRE(ends(id));
        CHECK(story(id).failed()->message.find("a step makes no sense") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "plans under which jobs come on may fail any number of times") {
        options.models = {long_model()};
        const Generate request = greedy("Once upon a time", kManyTokens);
        const Story expected = undisturbed(long_model(), request);
        build(2);
        const std::uint64_t id = submit(request);
        for (std::size_t plan = 1; plan <= 7; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            const std::size_t before = story(id).ids().size();
            loaded(kTwo);
            REQUIRE(generates(id, before + 5));
            if (plan == 7) break;
            ends_plan(kTwo, "hiccup", Fault::none);
        }
        REQUIRE(ends(id));
        CHECK(story(id).ids() == expected.ids());
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "a full queue refuses, while a model loads as when it runs") {
        options.models = {long_model()};
        options.settings.queue = 2;
        options.parallel = 1;
        build(2);
        const std::uint64_t first = submit(greedy("a", 0));
        const std::uint64_t second = submit(greedy("b", 3));
        CHECK(busy(submit(greedy("c", 3))));
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        REQUIRE(generates(first, 1));
        CHECK(node->control.call([&] { return node->core.root().queued(); }) == 1);
        const std::uint64_t third = submit(greedy("d", 3));
        CHECK(busy(submit(greedy("e", 3))));
        node->cancel(first);
        CHECK(ends(second));
        CHECK(ends(third));
    }

    TEST_CASE_FIXTURE(Fixture, "who waits hears of its place, and whoever has few goes first") {
        options.models = {long_model()};
        options.parallel = 1;
        build();
        const auto told = [&](std::uint64_t id, const std::string& text) {
            return eventually([&] {
                for (const Event& event : story(id).events) {
                    const auto* progress = std::get_if<Progress>(&event);
                    if (progress != nullptr && progress->what.starts_with(text)) return true;
                }
                return false;
            });
        };
        Generate request = greedy("a", 0);
        request.client = 1;
        const std::uint64_t first = submit(request);
        REQUIRE(generates(first, 1));
        std::vector<std::uint64_t> flood;
        request.max_tokens = 3;
        for (int i = 0; i < 5; ++i) flood.push_back(submit(request));
        CHECK(told(flood[0], "1st in the queue"));
        CHECK(told(flood[4], "5th in the queue"));
        request.client = 2;
        const std::uint64_t other = submit(request);
        CHECK(told(other, "1st in the queue"));
        CHECK(told(flood[4], "6th in the queue"));
        request.priority = -1;
        const std::uint64_t urgent = submit(request);
        CHECK(told(other, "2nd in the queue"));
        node->cancel(first);
        REQUIRE(ends(urgent));
        REQUIRE(ends(other));
        for (const std::uint64_t id : flood) {
            REQUIRE(ends(id));
            CHECK(story(id).ids().size() == 3);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling ends a job wherever it is") {
        options.models = {long_model(), tiny_model()};
        options.parallel = 1;
        build(2);
        const auto cancelled = [&](std::uint64_t id) {
            REQUIRE(ends(id));
            const Story told = story(id);
            CHECK(told.finals() == 1);
            const auto* failed = told.failed();
            return failed != nullptr && failed->code == ErrorCode::cancelled;
        };
        // While the model is opened.
        const std::uint64_t opening = submit(greedy("a", 3));
        node->cancel(opening);
        CHECK(cancelled(opening));
        // While it is loaded.
        const std::uint64_t loading = submit(greedy("a", 3));
        REQUIRE(offered(kTwo, 1));
        node->cancel(loading);
        node->cancel(loading);
        CHECK(cancelled(loading));
        // While it runs: the tokens so far are an answer.
        const std::uint64_t running = submit(greedy("a", 0));
        loaded(kTwo);
        REQUIRE(generates(running, 10));
        // Behind it, for the same model and for another one.
        const std::uint64_t behind = submit(greedy("b", 3));
        const std::uint64_t other = submit(greedy("c", 3), 1);
        node->cancel(behind);
        node->cancel(other);
        CHECK(cancelled(behind));
        CHECK(cancelled(other));
        node->cancel(running);
        REQUIRE(ends(running));
        REQUIRE(story(running).done() != nullptr);
        CHECK(story(running).done()->reason == StopReason::cancelled);
        // When it is over, and one that never was.
        node->cancel(running);
        node->cancel(12'345);
        node->control.drain();
        CHECK(story(running).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a job that is cancelled as its plan fails ends once") {
        options.models = {long_model()};
        build(2);
        const std::uint64_t id = submit(greedy("a", 0));
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        REQUIRE(generates(id, 5));
        node->cancel(id);
        node->lose(kTwo);
        REQUIRE(ends(id));
        const std::uint64_t next = submit(greedy("b", 3));
        REQUIRE(ends(next));
        CHECK(story(id).finals() == 1);
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "another model's job waits for the first model's, in order") {
        options.models = {tiny_model(), other_model()};
        build();
        std::vector<std::uint64_t> ids;
        for (const std::size_t index : {0U, 0U, 1U, 0U, 1U}) {
            ids.push_back(submit(greedy("hello", 40), index));
        }
        for (const std::uint64_t id : ids) REQUIRE(ends(id));
        const std::vector<std::string> names{"tiny", "tiny", "other", "tiny", "other"};
        for (std::size_t i = 0; i < ids.size(); ++i) {
            REQUIRE(story(ids[i]).done() != nullptr);
            CHECK(story(ids[i]).done()->model == names[i]);
            CHECK(story(ids[i]).numbered());
        }
        CHECK(story(ids[0]).ids() == story(ids[3]).ids());
        CHECK(story(ids[2]).ids() == story(ids[4]).ids());
        CHECK(story(ids[0]).ids() != story(ids[2]).ids());
        REQUIRE(ends(submit(greedy("hello", 3), 0)));
        // Both stay in memory.
        CHECK(made(PlanCause::first) == 1);
        CHECK(made(PlanCause::model) == 1);
        CHECK(made(PlanCause::turn) >= 1);
    }

    TEST_CASE_FIXTURE(Fixture, "loading without a job ends when the model is ready") {
        options.models = {tiny_model(), other_model()};
        build();
        const std::uint64_t load = node->start(LoadRequest{hash(1)});
        const std::uint64_t again = node->start(LoadRequest{hash(1)});
        REQUIRE(ends(load));
        REQUIRE(ends(again));
        REQUIRE(story(load).done() != nullptr);
        CHECK(story(load).done()->model == "other");
        CHECK(story(load).done()->devices == 1);
        CHECK(offers(node->self) == 1);
        const std::uint64_t ready = node->start(LoadRequest{hash(1)});
        node->control.drain();
        CHECK(story(ready).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device that joins is planned with when no job runs") {
        options.models = {long_model()};
        build();
        const std::uint64_t first = submit(greedy("a", 0));
        REQUIRE(generates(first, 5));
        node->join(2);
        const std::uint64_t second = submit(greedy("b", 3));
        REQUIRE(generates(first, story(first).ids().size() + 20));
        CHECK(offers(kTwo) == 0);
        CHECK(story(second).ids().empty());
        node->cancel(first);
        REQUIRE(offered(kTwo, 1));
        CHECK(made(PlanCause::devices) == 1);
        CHECK(story(first).over());
        loaded(kTwo);
        CHECK(ends(second));
        // Nothing changed: no new plan.
        REQUIRE(ends(submit(greedy("c", 3))));
        CHECK(offers(kTwo) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a new root waits a little for its devices to follow it") {
        build(2);
        const auto follows = [&](const mesh::Term& term) {
            node->control.call([&] {
                node->mesh.all[1].term = term;
                node->core.on_updated(node->mesh.members()[1]);
            });
        };
        follows({});
        const std::uint64_t first = submit(greedy("a", 3));
        const std::uint64_t second = submit(greedy("a", 3));
        node->control.drain();
        CHECK(offers(node->self) == 0);
        follows(node->mesh.current);
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        CHECK(ends(first));
        CHECK(ends(second));
        CHECK(offers(node->self) == 1);

        // One that never follows is not waited for for ever.
        node->elect(node->self);
        follows({});
        CHECK(ends(submit(greedy("a", 3))));
    }

    TEST_CASE_FIXTURE(Fixture, "resigning forgets the jobs of others and ends the plan") {
        options.models = {long_model()};
        build(2);
        Generate request = greedy("a", 0);
        request.model = hash(0);
        node->ask(kTwo, {7, request});
        REQUIRE(offered(kTwo, 1));
        loaded(kTwo);
        const auto tokens = [&] { return node->events_to<Token>(kTwo, 7).size(); };
        REQUIRE(eventually([&] { return tokens() >= 5; }));
        node->ask(kTwo, {8, request});
        node->elect(std::nullopt);
        CHECK(node->control.call([&] { return node->core.root().pending(); }) == 0);
        CHECK(node->sent_to<PlanEnd>(kTwo).size() == 1);
        const std::size_t before = tokens();
        // As root again it starts afresh; nothing of the old jobs is heard.
        node->join_client(2);  // and has no part in plans any more
        node->elect(node->self);
        REQUIRE(ends(submit(greedy("d", 3))));
        CHECK(tokens() == before);
        CHECK(node->events_to<Done>(kTwo, 7).empty());
        CHECK(node->events_to<Done>(kTwo, 8).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a model that does not fit is refused with the numbers") {
        build();
        has_memory(100'000);
        const std::uint64_t id = submit(greedy("a", 3));
        REQUIRE(ends(id));
        REQUIRE(story(id).failed() != nullptr);
        CHECK(story(id).failed()->code == ErrorCode::too_large);
        CHECK(story(id).failed()->message.find_first_of("0123456789") != std::string::npos);
        // With more memory the next try works.
        has_memory(0);
        CHECK(ends(submit(greedy("a", 3))));
    }

    TEST_CASE_FIXTURE(Fixture, "a model whose file is gone fails its jobs and no others") {
        TemporaryFolder folder;
        const auto copy = folder.folder / "gone.gguf";
        std::filesystem::copy_file(tiny_model(), copy);
        options.models = {other_model(), copy};
        build();
        std::filesystem::remove(copy);
        const std::uint64_t gone = submit(greedy("a", 3), 1);
        const std::uint64_t good = submit(greedy("a", 3), 0);
        REQUIRE(ends(gone));
        REQUIRE(story(gone).failed() != nullptr);
        CHECK(story(gone).failed()->message.find("gone.gguf") != std::string::npos);
        REQUIRE(ends(good));
        CHECK(story(good).done() != nullptr);
    }
}

}  // namespace plan_root_test
