#include "daemon/plan_root.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/daemon/small_node.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::wire;

namespace {

const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);

struct Fixture {
    SmallNode::Options options;
    std::unique_ptr<SmallNode> node;
    JobId next_job = 1;

    void build(std::size_t devices = 1) {
        node = std::make_unique<SmallNode>(options);
        node->control.call([&] {
            for (std::size_t i = 1; i < devices; ++i) {
                node->others.push_back(SmallNode::other(static_cast<std::uint8_t>(i + 1)));
            }
        });
    }
    KnownModel model(std::size_t index = 0) const {
        const auto list = node->catalogue.list();
        return {list.at(index).hash, list.at(index).name, list.at(index).file_bytes};
    }
    // 0 when the queue is full.
    JobId submit(Generate request, std::size_t index = 0, bool load_only = false) {
        const JobId id = next_job++;
        const bool taken = node->control.call([&] {
            return node->root.submit(job_of(id, std::move(request)), model(index), load_only);
        });
        return taken ? id : 0;
    }
    void cancel(JobId id) {
        node->control.call([&] { node->root.cancel(id); });
    }
    Story story(JobId id) const { return node->job_events.story(id); }
    bool ends(JobId id) {
        return eventually([&] { return story(id).over(); });
    }
    bool generates(JobId id, std::size_t tokens) {
        return eventually([&] { return story(id).ids().size() >= tokens; });
    }
    bool offered(const mesh::DeviceId& device, std::size_t count) {
        return node->eventually([&] { return node->sent_to<PlanOffer>(device).size() >= count; });
    }
    bool started(const mesh::DeviceId& device, std::size_t count) {
        return node->eventually([&] { return node->sent_to<PlanStart>(device).size() >= count; });
    }
    std::size_t offers(const mesh::DeviceId& device) {
        return node->control.call([&] { return node->sent_to<PlanOffer>(device).size(); });
    }
    // What a job gives that nothing disturbs.
    static Story undisturbed(const std::filesystem::path& path, const Generate& request) {
        Fixture alone;
        alone.options.models = {path};
        alone.build();
        const JobId id = alone.submit(request);
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
        const JobId id = submit(greedy("hello", 5));
        REQUIRE(ends(id));
        CHECK(story(id).numbered());
        CHECK(story(id).ids().size() == 5);
        REQUIRE(story(id).done() != nullptr);
        CHECK(story(id).done()->reason == StopReason::length);
        CHECK(story(id).done()->model == "tiny");
    }

    TEST_CASE_FIXTURE(Fixture, "the plan is offered to all and starts when all have loaded") {
        build(3);
        const JobId id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        REQUIRE(offered(kThree, 1));
        const auto offer = node->control.call([&] { return *node->last_offer(kTwo); });
        REQUIRE(offer.devices.size() == 3);
        CHECK(offer.devices[0].id == node->self.bytes);
        CHECK(offer.devices[1].id == kTwo.bytes);
        const auto model = open_model(tiny_model());
        const std::uint32_t step = shard::ffn_cut_step(model->source->header(), model->hparams);
        CHECK(check_offer(offer, model->hparams, step) == std::nullopt);
        node->loaded(kTwo);
        node->loaded(kTwo);
        REQUIRE(node->eventually([&] {
            const auto it = node->root.devices().find(node->self);
            return it != node->root.devices().end() && it->second.loaded;
        }));
        CHECK(node->control.call([&] { return node->sent_to<PlanStart>(kTwo).empty(); }));
        node->loaded(kThree);
        REQUIRE(started(kTwo, 1));
        REQUIRE(started(kThree, 1));
        CHECK(ends(id));
        CHECK(story(id).done()->devices == 1);  // this node's engine runs it alone
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while loading is planned without") {
        build(3);
        const JobId id = submit(greedy("hello", 5));
        REQUIRE(offered(kThree, 1));
        node->loaded(kTwo);
        node->lose(kThree);
        REQUIRE(offered(kTwo, 2));
        CHECK(node->control.call([&] { return node->last_offer(kTwo)->devices.size(); }) == 2);
        CHECK(node->control.call([&] { return node->sent_to<PlanEnd>(kTwo).size(); }) == 1);
        // What the old plan's devices say no longer counts.
        node->control.call([&] {
            const auto old = node->sent_to<PlanOffer>(kTwo).front().plan;
            node->root.on_loaded(kTwo, PlanLoaded{old, 1, 1, 1, 1});
            node->root.on_plan_end(kTwo, PlanEnd{old, "old"});
        });
        CHECK(node->control.call([&] { return node->sent_to<PlanStart>(kTwo).empty(); }));
        node->loaded(kTwo);
        CHECK(ends(id));
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while starting is planned without") {
        options.carries = false;
        build(2);
        const JobId id = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 1));
        node->loaded(kTwo);
        node->loaded(node->self);
        REQUIRE(started(kTwo, 1));
        node->lose(kTwo);
        REQUIRE(offered(node->self, 2));
        CHECK(node->control.call([&] { return node->last_offer(node->self)->devices.size(); }) ==
              1);
        CHECK_FALSE(story(id).over());
        // It was not the first plan's fault: nothing is counted against the job.
        for (int i = 0; i < 10; ++i) node->lose(kTwo);
        CHECK_FALSE(story(id).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device lost while a job runs costs no token and no text") {
        options.models = {long_model()};
        const Story expected = undisturbed(long_model(), long_job());
        build(3);
        const JobId id = submit(long_job());
        for (const std::size_t plan : {1U, 2U, 3U}) {
            CAPTURE(plan);
            const auto device = plan == 1 ? kThree : kTwo;
            if (plan < 3) REQUIRE(offered(device, plan));
            if (plan < 3) node->loaded(kTwo);
            if (plan < 2) node->loaded(kThree);
            REQUIRE(generates(id, plan * 100));
            if (plan < 3) node->lose(device);
        }
        REQUIRE(ends(id));
        CHECK(story(id).numbered());
        CHECK(story(id).ids() == expected.ids());
        CHECK(story(id).text() == expected.text());
        CHECK(story(id).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "an error of a device is tried again a few times, then told") {
        build(2);
        const JobId id = submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            CHECK_FALSE(story(id).over());
            node->control.call([&] {
                node->root.on_plan_end(kTwo, {node->last_offer(kTwo)->plan, "the disk is full"});
            });
        }
        REQUIRE(ends(id));
        REQUIRE(story(id).failed() != nullptr);
        CHECK(story(id).failed()->code == ErrorCode::unavailable);
        CHECK(story(id).failed()->message.find("the disk is full") != std::string::npos);
        CHECK(story(id).failed()->message.find(kTwo.hex().substr(0, 8)) != std::string::npos);
        CHECK(offers(kTwo) == 4);
        // The next job gets as many tries.
        const JobId next = submit(greedy("hello", 5));
        REQUIRE(offered(kTwo, 5));
        node->loaded(kTwo);
        CHECK(ends(next));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a plan that starts and fails before any token is not tried for ever") {
        options.carries = false;
        build(2);
        const JobId id = submit(greedy("hello", 5));
        for (std::size_t plan = 1; plan <= 4; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            node->loaded(kTwo);
            node->loaded(node->self);
            node->control.call([&] {
                const PlanRef ref = node->last_offer(kTwo)->plan;
                node->root.on_started(ref.id());
                node->root.on_plan_end(kTwo, {ref, "a step makes no sense"});
            });
        }
        REQUIRE(ends(id));
        CHECK(story(id).failed()->message.find("a step makes no sense") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "plans under which jobs come on may fail any number of times") {
        options.models = {long_model()};
        const Story expected = undisturbed(long_model(), long_job());
        build(2);
        const JobId id = submit(long_job());
        for (std::size_t plan = 1; plan <= 7; ++plan) {
            CAPTURE(plan);
            REQUIRE(offered(kTwo, plan));
            node->loaded(kTwo);
            REQUIRE(generates(id, plan * 20));
            if (plan == 7) break;
            node->control.call([&] {
                node->root.on_plan_end(kTwo, {node->last_offer(kTwo)->plan, "hiccup"});
            });
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
        const JobId first = submit(greedy("a", 0));
        const JobId second = submit(greedy("b", 3));
        REQUIRE(first != 0);
        REQUIRE(second != 0);
        CHECK(submit(greedy("c", 3)) == 0);
        REQUIRE(offered(kTwo, 1));
        node->loaded(kTwo);
        REQUIRE(generates(first, 1));
        CHECK(node->control.call([&] { return node->root.queued(); }) == 1);
        const JobId third = submit(greedy("d", 3));
        CHECK(third != 0);
        CHECK(submit(greedy("e", 3)) == 0);
        cancel(first);
        CHECK(ends(second));
        CHECK(ends(third));
    }

    TEST_CASE_FIXTURE(Fixture, "no job is taken without being root") {
        options.root = false;
        build();
        CHECK(submit(greedy("a", 1)) == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling ends a job wherever it is") {
        options.models = {long_model(), tiny_model()};
        options.parallel = 1;
        build(2);
        const auto cancelled = [&](JobId id) {
            REQUIRE(ends(id));
            const Story told = story(id);
            CHECK(told.finals() == 1);
            const auto* failed = told.failed();
            return failed != nullptr && failed->code == ErrorCode::cancelled;
        };
        // While the model is opened.
        const JobId opening = next_job;
        node->control.call([&] {
            static_cast<void>(
                node->root.submit(job_of(next_job++, greedy("a", 3)), model(0), false));
            node->root.cancel(opening);
        });
        CHECK(cancelled(opening));
        // While it is loaded.
        const JobId loading = submit(greedy("a", 3));
        REQUIRE(offered(kTwo, 1));
        cancel(loading);
        cancel(loading);
        CHECK(cancelled(loading));
        // While it runs: the tokens so far are an answer.
        const JobId running = submit(greedy("a", 0));
        node->loaded(kTwo);
        REQUIRE(generates(running, 10));
        // Behind it, for the same model and for another one.
        const JobId behind = submit(greedy("b", 3));
        const JobId other = submit(greedy("c", 3), 1);
        cancel(behind);
        cancel(other);
        CHECK(cancelled(behind));
        CHECK(cancelled(other));
        cancel(running);
        REQUIRE(ends(running));
        REQUIRE(story(running).done() != nullptr);
        CHECK(story(running).done()->reason == StopReason::cancelled);
        // When it is over, and one that never was.
        cancel(running);
        cancel(12'345);
        node->control.drain();
        CHECK(story(running).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a job that is cancelled as its plan fails ends once") {
        options.models = {long_model()};
        build(2);
        const JobId id = submit(greedy("a", 0));
        REQUIRE(offered(kTwo, 1));
        node->loaded(kTwo);
        REQUIRE(generates(id, 5));
        node->control.call([&] {
            node->root.cancel(id);
            node->others.clear();
            node->root.on_member_lost(kTwo);
        });
        REQUIRE(ends(id));
        const JobId next = submit(greedy("b", 3));
        REQUIRE(ends(next));
        CHECK(story(id).finals() == 1);
        CHECK(story(id).numbered());
    }

    TEST_CASE_FIXTURE(Fixture, "another model's job waits for the first model's, in order") {
        options.models = {tiny_model(), other_model()};
        build();
        std::vector<JobId> ids;
        for (const std::size_t index : {0U, 0U, 1U, 0U, 1U}) {
            ids.push_back(submit(greedy("hello", 40), index));
        }
        for (const JobId id : ids) REQUIRE(ends(id));
        const std::vector<std::string> names{"tiny", "tiny", "other", "tiny", "other"};
        for (std::size_t i = 0; i < ids.size(); ++i) {
            REQUIRE(story(ids[i]).done() != nullptr);
            CHECK(story(ids[i]).done()->model == names[i]);
            CHECK(story(ids[i]).numbered());
        }
        CHECK(story(ids[0]).ids() == story(ids[3]).ids());
        CHECK(story(ids[2]).ids() == story(ids[4]).ids());
        CHECK(story(ids[0]).ids() != story(ids[2]).ids());
    }

    TEST_CASE_FIXTURE(Fixture, "loading without a job ends when the model is ready") {
        options.models = {tiny_model(), other_model()};
        build();
        const JobId load = submit({}, 1, true);
        const JobId again = submit({}, 1, true);
        REQUIRE(ends(load));
        REQUIRE(ends(again));
        REQUIRE(story(load).done() != nullptr);
        CHECK(story(load).done()->model == "other");
        CHECK(story(load).done()->devices == 1);
        CHECK(offers(node->self) == 1);
        const JobId ready = submit({}, 1, true);
        CHECK(story(ready).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a device that joins is planned with when no job runs") {
        options.models = {long_model()};
        build();
        const JobId first = submit(greedy("a", 0));
        REQUIRE(generates(first, 5));
        node->control.call([&] { node->others.push_back(SmallNode::other(2)); });
        const JobId second = submit(greedy("b", 3));
        REQUIRE(generates(first, story(first).ids().size() + 20));
        CHECK(offers(kTwo) == 0);
        CHECK(story(second).ids().empty());
        cancel(first);
        REQUIRE(offered(kTwo, 1));
        CHECK(story(first).over());
        node->loaded(kTwo);
        CHECK(ends(second));
        // Nothing changed: no new plan.
        REQUIRE(ends(submit(greedy("c", 3))));
        CHECK(offers(kTwo) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a new root waits a little for its devices to follow it") {
        options.root = false;
        build();
        node->control.call([&] { node->settled = false; });
        node->elect(node->self);
        const JobId first = submit(greedy("a", 3));
        const JobId second = submit(greedy("a", 3));
        node->control.drain();
        CHECK(offers(node->self) == 0);
        node->control.call([&] {
            node->others.push_back(SmallNode::other(2));
            node->settled = true;
        });
        REQUIRE(offered(kTwo, 1));
        node->loaded(kTwo);
        CHECK(ends(first));
        CHECK(ends(second));
        CHECK(offers(node->self) == 1);

        // One that never follows is not waited for for ever.
        node->control.call([&] {
            node->others.clear();
            node->settled = false;
        });
        node->elect(node->self);
        CHECK(ends(submit(greedy("a", 3))));
    }

    TEST_CASE_FIXTURE(Fixture, "resigning forgets the jobs and ends the plan") {
        options.models = {long_model()};
        build(2);
        const JobId running = submit(greedy("a", 0));
        REQUIRE(offered(kTwo, 1));
        node->loaded(kTwo);
        REQUIRE(generates(running, 5));
        const JobId waiting = submit(greedy("b", 3));
        node->elect(std::nullopt);
        CHECK(node->control.call([&] { return node->root.queued(); }) == 0);
        CHECK(node->control.call([&] { return node->sent_to<PlanEnd>(kTwo).size(); }) == 1);
        const std::size_t tokens = story(running).ids().size();
        CHECK(submit(greedy("c", 3)) == 0);
        // As root again it starts afresh; nothing of the old jobs is heard.
        node->control.call([&] { node->others.clear(); });
        node->elect(node->self);
        REQUIRE(ends(submit(greedy("d", 3))));
        CHECK(story(running).ids().size() == tokens);
        CHECK_FALSE(story(running).over());
        CHECK_FALSE(story(waiting).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a context that memory does not hold is halved") {
        options.models = {long_model()};
        build();
        // 512 bytes a position, f32; weights and buffers take about two megabytes.
        node->control.call([&] { node->memory = 12u << 20; });
        const JobId id = submit(greedy("a", 3));
        REQUIRE(ends(id));
        REQUIRE(story(id).done() != nullptr);
        const auto positions =
            node->control.call([&] { return node->last_offer(node->self)->kv_positions; });
        CHECK(positions < 60'000);
        CHECK(60'000 % positions == 0);
        CHECK(positions * 512 < 12u << 20);
        CHECK(positions * 512 * 2 > 4u << 20);
    }

    TEST_CASE_FIXTURE(Fixture, "a model that does not fit is refused with the numbers") {
        build();
        node->control.call([&] { node->memory = 100'000; });
        const JobId id = submit(greedy("a", 3));
        REQUIRE(ends(id));
        REQUIRE(story(id).failed() != nullptr);
        CHECK(story(id).failed()->code == ErrorCode::too_large);
        CHECK(story(id).failed()->message.find_first_of("0123456789") != std::string::npos);
        // With more memory the next try works.
        node->control.call([&] { node->memory = 0; });
        CHECK(ends(submit(greedy("a", 3))));
    }

    TEST_CASE_FIXTURE(Fixture, "the settings decide context, KV type and collectives") {
        options.settings.context = 300;
        options.settings.kv = config::KvType::f16;
        options.settings.collectives = config::Collectives::f16;
        options.settings.batch_tokens = 17;
        build();
        REQUIRE(ends(submit(greedy("a", 3))));
        const auto offer = node->control.call([&] { return *node->last_offer(node->self); });
        CHECK(offer.kv_positions == 300);
        CHECK(offer.kv_type == "f16");
        CHECK(offer.collectives == "f16");
        CHECK(offer.max_rows == 17);
    }

    TEST_CASE_FIXTURE(Fixture, "a KV type that the model's heads do not fit is refused") {
        options.settings.kv = config::KvType::q8_0;
        build();
        const JobId id = submit(greedy("a", 3));
        REQUIRE(ends(id));
        REQUIRE(story(id).failed() != nullptr);
        CHECK(story(id).failed()->message.find("models.kv = q8_0") != std::string::npos);
        CHECK(story(id).failed()->message.find("16") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a model whose file is gone fails its jobs and no others") {
        TemporaryFolder folder;
        const auto copy = folder.folder / "gone.gguf";
        std::filesystem::copy_file(tiny_model(), copy);
        options.models = {other_model(), copy};
        build();
        std::filesystem::remove(copy);
        const JobId gone = submit(greedy("a", 3), 1);
        const JobId good = submit(greedy("a", 3), 0);
        REQUIRE(ends(gone));
        REQUIRE(story(gone).failed() != nullptr);
        CHECK(story(gone).failed()->message.find("gone.gguf") != std::string::npos);
        REQUIRE(ends(good));
        CHECK(story(good).done() != nullptr);
    }
}
