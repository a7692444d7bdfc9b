// Many requests at once: each gives what it gives alone, however steps are cut and caches are full.
#include <doctest/doctest.h>

#include <random>

#include "tests/daemon/engine/batch_devices.hpp"

namespace together_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

// Alone: under a plan of its own.
std::vector<Story> alone(BatchDevices& devices, const std::vector<Generate>& requests) {
    std::vector<Story> out;
    for (const Generate& request : requests) out.push_back(devices.answers({request}).at(0));
    return out;
}

void check_same(const std::vector<Story>& got, const std::vector<Story>& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        CHECK(same_story(got[i], expected[i]));
    }
}

Generate counted(std::size_t prompt, std::uint32_t answer) {
    auto request = greedy("", answer);
    for (std::size_t t = 0; t < prompt; ++t) {
        request.prompt_ids.push_back(static_cast<std::int32_t>(5 + t % 200));
    }
    return request;
}

constexpr std::uint64_t kBlock = exec::KvCache::kBlockPositions;

}  // namespace

TEST_SUITE("Batch of many") {
    TEST_CASE("64 requests at once give what each gives alone, with room for all and for few") {
        const auto model = open_model(tiny_model());
        const auto requests = mixed_requests(by_speed(64, 24));
        for (const std::uint32_t devices : {1U, 2U}) {
            CAPTURE(devices);
            BatchDevices wide(model, {.devices = devices});
            const auto expected = alone(wide, requests);
            check_same(wide.answers(requests), expected);
            CHECK(wide.counts().preemptions == 0);
            // A cache that the longest nearly fills, and steps of few rows.
            BatchDevices narrow(model,
                                {.devices = devices, .positions = 9 * kBlock, .max_rows = 17});
            check_same(narrow.answers(requests), expected);
            CHECK(narrow.counts().preemptions > 0);
        }
    }

    TEST_CASE("quantised weights and sums make no difference to that") {
        const auto model = open_model(typed_model("q4_k"));
        const auto requests = mixed_requests(16);
        BatchDevices wide(model, {.devices = 2, .collectives = exec::PayloadType::q8_0});
        const auto expected = alone(wide, requests);
        BatchDevices narrow(model, {.devices = 2,
                                    .positions = 6 * kBlock,
                                    .max_rows = 33,
                                    .collectives = exec::PayloadType::q8_0});
        check_same(narrow.answers(requests), expected);
        CHECK(narrow.counts().preemptions > 0);
    }

    TEST_CASE("nor do prompts that are shared out by rows, though one is computed again") {
        const auto model = open_model(tiny_model());
        const auto requests = mixed_requests(by_speed(32, 12));
        BatchSetting setting{
            .devices = 2, .sequence_rows = 60, .collectives = exec::PayloadType::q8_0};
        BatchDevices wide(model, setting);
        const auto expected = alone(wide, requests);
        setting.positions = 8 * kBlock;
        setting.max_rows = 40;
        BatchDevices narrow(model, setting);
        check_same(narrow.answers(requests), expected);
        CHECK(narrow.counts().preemptions > 0);
    }

    TEST_CASE("where the cache is full who came last waits, and who came first does not") {
        BatchDevices devices(open_model(tiny_model()), {.positions = 5 * kBlock, .max_rows = 64});
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(20, 600)));
            batch.add(job_of(2, counted(30, 300)));
            // Every step of the first one's answer brings a token.
            std::size_t steps = 0, first_began = 0;
            devices.step_until(batch, [&] {
                const std::size_t tokens = recorder.story(1).ids().size();
                if (tokens != 0 && first_began == 0) first_began = steps;
                if (tokens != 0 && !recorder.story(1).over()) {
                    CHECK(tokens == steps - first_began + 1);
                }
                ++steps;
                return recorder.story(1).over() && recorder.story(2).over();
            });
            CHECK(batch.counts().preemptions != 0);
            CHECK(recorder.story(1).ids().size() == 600);
            CHECK(recorder.story(2).ids().size() == 300);
            CHECK(recorder.story(2).numbered());
        });
        CHECK(same_story(recorder.story(2), devices.answers({counted(30, 300)}).at(0)));
    }

    TEST_CASE("who has the lower priority number does not wait, though it came last") {
        BatchDevices devices(open_model(tiny_model()), {.positions = 5 * kBlock, .max_rows = 64});
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            Generate behind = counted(20, 600), before = counted(30, 500);
            behind.priority = 1;
            batch.add(job_of(1, behind));
            batch.add(job_of(2, before));
            std::size_t steps = 0, began = 0;
            devices.step_until(batch, [&] {
                const std::size_t tokens = recorder.story(2).ids().size();
                if (tokens != 0 && began == 0) began = steps;
                if (tokens != 0 && !recorder.story(2).over()) CHECK(tokens == steps - began + 1);
                ++steps;
                return recorder.story(1).over() && recorder.story(2).over();
            });
            CHECK(batch.counts().preemptions != 0);
            CHECK(recorder.story(1).ids().size() == 600);
            CHECK(recorder.story(2).ids().size() == 500);
        });
    }

    TEST_CASE("one that was sent back can be cancelled, and ends as a running one") {
        BatchDevices devices(open_model(tiny_model()), {.positions = 5 * kBlock});
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(200, 300)));
            batch.add(job_of(2, counted(200, 300)));
            devices.step_until(batch, [&] { return batch.counts().preemptions != 0; });
            const std::size_t before = recorder.story(2).ids().size();
            CHECK(before != 0);
            batch.cancel(2);
            REQUIRE(recorder.story(2).done() != nullptr);
            CHECK(recorder.story(2).done()->reason == StopReason::cancelled);
            CHECK(recorder.story(2).done()->generated_tokens == before);
            batch.cancel(2);
            devices.step_until(batch, [&] { return recorder.story(1).over(); });
            CHECK(recorder.story(2).finals() == 1);
            CHECK(recorder.story(1).ids().size() == 300);
        });
    }

    TEST_CASE("scores that were told are not told again, in the midst of a prompt or behind it") {
        auto scored = counted(380, 250);
        scored.logprobs = 2;
        scored.prompt_logprobs = true;
        auto first = counted(250, 300);
        first.prompt_ids[0] = 250;
        for (const std::uint32_t parallel : {2U, 4U}) {
            CAPTURE(parallel);
            BatchDevices devices(open_model(tiny_model()),
                                 {.positions = 7 * kBlock, .parallel = parallel});
            const auto got = devices.answers({first, scored});
            CHECK(devices.counts().preemptions != 0);
            check_same(got, alone(devices, {first, scored}));
        }
    }

    TEST_CASE("nobody begins who would be sent back with the next blocks that are taken") {
        // The part of a block that both have in common is one of each as soon as they go on.
        BatchDevices devices(open_model(tiny_model()), {.positions = 4 * kBlock});
        const auto got = devices.answers({counted(200, 300), counted(200, 300)});
        CHECK(devices.counts().preemptions == 0);
        CHECK(same_story(got[0], got[1]));
        CHECK(got[1].done()->cached_tokens >= 199);
    }

    TEST_CASE("requests without a limit run together") {
        BatchDevices devices(open_model(tiny_model()), {.positions = 8 * kBlock});
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            for (JobId id = 1; id <= 3; ++id) batch.add(job_of(id, counted(10 * id, 0)));
            devices.step_until(batch, [&] { return recorder.story(3).ids().size() > 20; });
            CHECK(batch.running() == 3);
            for (JobId id = 1; id <= 3; ++id) CHECK(recorder.story(id).ids().size() > 20);
            for (JobId id = 1; id <= 3; ++id) batch.cancel(id);
        });
    }

    TEST_CASE("the next turn of a chat computes what is new, to the same bits") {
        for (const std::uint32_t devices : {1U, 2U}) {
            CAPTURE(devices);
            BatchDevices plan(open_model(tiny_model()), {.devices = devices});
            Recorder recorder;
            auto second = counted(300, 40);
            plan.run(recorder, [&](Batch& batch) {
                batch.add(job_of(1, counted(300, 40)));
                plan.step_until(batch, [&] { return recorder.story(1).over(); });
                CHECK(recorder.story(1).done()->cached_tokens == 0);
                // What was answered, and a question more.
                const auto answer = recorder.story(1).ids();
                second.prompt_ids.insert(second.prompt_ids.end(), answer.begin(), answer.end());
                for (std::int32_t id = 1; id <= 25; ++id) second.prompt_ids.push_back(id);
                batch.add(job_of(2, second));
                plan.step_until(batch, [&] { return recorder.story(2).over(); });
                // The last token of the answer was never computed.
                CHECK(recorder.story(2).done()->cached_tokens == 339);
                CHECK(recorder.story(2).done()->prompt_tokens == 365);
                // The same once more lacks its last token alone.
                batch.add(job_of(3, second));
                plan.step_until(batch, [&] { return recorder.story(3).over(); });
                CHECK(recorder.story(3).done()->cached_tokens == 364);
                CHECK(batch.counts().cached_tokens == 339 + 364);
                CHECK(batch.counts().prompt_tokens == 300 + 2 * 365);
                // In part of a block.
                batch.add(job_of(4, counted(50, 5)));
                plan.step_until(batch, [&] { return recorder.story(4).over(); });
                CHECK(recorder.story(4).done()->cached_tokens == 49);
                // Nothing of it, for who does not want that; not while it is being computed either.
                second.cache_prompt = false;
                for (const JobId id : {5, 6}) batch.add(job_of(id, second));
                plan.step_until(
                    batch, [&] { return recorder.story(5).over() && recorder.story(6).over(); });
                for (const JobId id : {5, 6}) {
                    CHECK(recorder.story(id).done()->cached_tokens == 0);
                    CHECK(recorder.story(id).ids() == recorder.story(2).ids());
                }
                CHECK(batch.counts().cached_tokens == 339 + 364 + 49);
            });
            CHECK(same_story(recorder.story(2), plan.answers({second}).at(0)));
            CHECK(same_story(recorder.story(3), recorder.story(2)));
            CHECK(same_story(recorder.story(4), plan.answers({counted(50, 5)}).at(0)));
        }
    }

    TEST_CASE("several answers to one prompt compute it once") {
        BatchDevices plan(open_model(tiny_model()), {.max_rows = 32});
        std::vector<Generate> requests;
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            requests.push_back(counted(200, 20));
            requests.back().sampling.temperature = 1;
            requests.back().sampling.seed = seed;
        }
        const auto expected = alone(plan, requests);
        const auto got = plan.answers(requests);
        check_same(got, expected);
        CHECK(got[0].done()->cached_tokens == 0);
        // The last step of it is small enough to be computed by each.
        for (std::size_t i = 1; i < got.size(); ++i) CHECK(got[i].done()->cached_tokens >= 192);
    }

    TEST_CASE("who waits for what another computes holds up nobody behind it") {
        BatchDevices plan(open_model(tiny_model()), {.max_rows = 32});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(2000, 1)));
            batch.add(job_of(2, counted(2000, 1)));
            auto question = greedy("", 2);
            question.prompt_ids = {250, 251, 252, 253, 254, 255};
            batch.add(job_of(3, question));
            plan.step_until(batch, [&] { return recorder.story(3).over(); });
            CHECK(recorder.story(1).ids().empty());
            plan.step_until(batch, [&] { return recorder.story(2).over(); });
            CHECK(recorder.story(2).done()->cached_tokens >= 1900);
        });
    }

    TEST_CASE("and who went before it is sent back before it") {
        BatchDevices plan(open_model(tiny_model()), {.positions = 7 * kBlock, .max_rows = 16});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(250, 300)));
            batch.add(job_of(2, counted(250, 300)));
            auto other = counted(10, 290);
            other.prompt_ids[0] = 250;
            batch.add(job_of(3, other));
            plan.step_until(batch, [&] { return batch.counts().preemptions != 0; });
            const auto tokens = [&](JobId id) { return recorder.story(id).ids().size(); };
            const std::size_t second = tokens(2), third = tokens(3);
            CHECK(third != 0);
            plan.step_until(batch, [&] { return tokens(2) == second + 20; });
            CHECK(tokens(3) == third);
            plan.step_until(batch, [&] { return recorder.story(3).over(); });
            CHECK(tokens(3) == 290);
        });
    }

    TEST_CASE("nobody waits for what is known") {
        BatchDevices plan(open_model(tiny_model()), {});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(300, 1)));
            plan.step_until(batch, [&] { return recorder.story(1).over(); });
            // Computes it once more.
            auto scored = counted(300, 5);
            scored.logprobs = 1;
            scored.prompt_logprobs = true;
            batch.add(job_of(2, scored));
            batch.add(job_of(3, counted(300, 1)));
            plan.step_until(batch, [&] { return recorder.story(3).over(); });
            CHECK(recorder.story(3).done()->cached_tokens == 299);
            CHECK(recorder.story(2).ids().empty());
        });
    }

    TEST_CASE("all of a prompt is found while its answer is written") {
        BatchDevices plan(open_model(tiny_model()), {.max_rows = 64});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(200, 100)));
            plan.step_until(batch, [&] { return recorder.story(1).ids().size() == 3; });
            batch.add(job_of(2, counted(300, 1)));
            plan.step_until(batch, [&] { return recorder.story(2).over(); });
            CHECK(recorder.story(2).done()->cached_tokens == 200);
        });
    }

    TEST_CASE("of one that goes on no more counts as found than its prompt") {
        BatchDevices plan(open_model(tiny_model()), {});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(50, 10)));
            plan.step_until(batch, [&] { return recorder.story(1).over(); });
            auto more = counted(50, 20);
            more.resume_ids = recorder.story(1).ids();
            batch.add(job_of(2, more));
            plan.step_until(batch, [&] { return recorder.story(2).over(); });
            CHECK(recorder.story(2).done()->cached_tokens == 50);
            CHECK(batch.counts().cached_tokens == 50);
            CHECK(batch.counts().prompt_tokens == 100);
        });
    }

    TEST_CASE("what is kept is used least recently first given up, and never in anybody's way") {
        BatchDevices plan(open_model(tiny_model()), {.positions = 8 * kBlock});
        Recorder recorder;
        const auto of = [](std::int32_t first) {
            auto request = counted(250, 1);
            for (std::int32_t& id : request.prompt_ids) id = (id + first) % 300;
            return request;
        };
        JobId next = 1;
        plan.run(recorder, [&](Batch& batch) {
            const auto cached = [&](std::int32_t first) {
                batch.add(job_of(next, of(first)));
                plan.step_until(batch, [&] { return recorder.story(next).over(); });
                return recorder.story(next++).done()->cached_tokens;
            };
            // Two blocks each: four have room.
            for (std::int32_t i = 0; i < 4; ++i) CHECK(cached(10 * i) == 0);
            CHECK(cached(0) == 249);
            CHECK(cached(40) == 0);
            CHECK(cached(0) == 249);
            CHECK(cached(10) < 249);
            // One that takes the whole cache has it.
            batch.add(job_of(next, counted(500, 0)));
            plan.step_until(batch, [&] { return recorder.story(next).over(); });
            CHECK(recorder.story(next).ids().size() == 8 * kBlock - 500);
        });
    }

    TEST_CASE("rows that are shared out serve rows that are shared out, and no others") {
        BatchSetting setting{
            .devices = 2, .sequence_rows = 200, .collectives = exec::PayloadType::q8_0};
        BatchDevices plan(open_model(tiny_model()), setting);
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            const auto cached = [&](JobId id, const Generate& request) {
                batch.add(job_of(id, request));
                plan.step_until(batch, [&] { return recorder.story(id).over(); });
                return recorder.story(id).done()->cached_tokens;
            };
            CHECK(cached(1, counted(250, 40)) == 0);
            // Too short to be shared out.
            CHECK(cached(2, counted(150, 5)) == 0);
            // Of the first one the prompt, not its answer, which no step shared out.
            auto longer = counted(250, 5);
            const auto answer = recorder.story(1).ids();
            longer.prompt_ids.insert(longer.prompt_ids.end(), answer.begin(), answer.end());
            CHECK(cached(3, longer) == 250);
            CHECK(cached(4, counted(180, 5)) == 150);
        });
        CHECK(same_story(recorder.story(2), plan.answers({counted(150, 5)}).at(0)));
        CHECK(same_story(recorder.story(4), plan.answers({counted(180, 5)}).at(0)));
    }

    TEST_CASE("scores of a prompt and vectors of texts are computed, not found") {
        BatchDevices plan(open_model(tiny_model()), {});
        auto scored = counted(60, 3);
        scored.logprobs = 1;
        scored.prompt_logprobs = true;
        auto embed = counted(60, 0);
        embed.task = Task::embed;
        const auto expected = alone(plan, {scored, embed});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(60, 3)));
            plan.step_until(batch, [&] { return recorder.story(1).over(); });
            batch.add(job_of(2, scored));
            batch.add(job_of(3, embed));
            plan.step_until(batch,
                            [&] { return recorder.story(2).over() && recorder.story(3).over(); });
        });
        check_same({recorder.story(2), recorder.story(3)}, expected);
        CHECK(recorder.story(2).done()->cached_tokens == 0);
    }

    TEST_CASE("whatever comes, goes and is cancelled, all end and no block is lost") {
        const auto model = open_model(tiny_model());
        BatchDevices plan(model, {.positions = 6 * kBlock, .parallel = 8, .max_rows = 48});
        for (std::uint64_t seed = 1; seed <= by_speed(300U, 20U); ++seed) {
            CAPTURE(seed);
            std::mt19937_64 random(seed);
            const auto below = [&](std::uint64_t n) {
                return static_cast<std::uint32_t>(random() % n);
            };
            Recorder recorder;
            plan.run(recorder, [&](Batch& batch) {
                JobId jobs = 0;
                for (int i = 0; i < 40; ++i) {
                    const std::uint32_t what = below(6);
                    if (what < 2) {
                        // Few texts of many lengths, so that beginnings are common.
                        auto request = counted(1 + below(250), 1 + below(150));
                        if (below(2) == 0)
                            request.prompt_ids[below(request.prompt_ids.size())] = 250;
                        batch.add(job_of(++jobs, request));
                    } else if (what == 2 && jobs != 0) {
                        batch.cancel(1 + below(jobs));
                    }
                    const std::uint32_t steps = below(8);
                    for (std::uint32_t s = 0; s < steps; ++s) {
                        REQUIRE(batch.step() == exec::Status::ok);
                    }
                }
                plan.step_until(batch, [&] {
                    for (JobId id = 1; id <= jobs; ++id) {
                        if (!recorder.story(id).over()) return false;
                    }
                    return true;
                });
                for (JobId id = 1; id <= jobs; ++id) CHECK(recorder.story(id).finals() == 1);
                // Nothing is held that the whole cache's owner would lack.
                batch.add(job_of(jobs + 1, counted(6 * kBlock - 20, 0)));
                plan.step_until(batch, [&] { return recorder.story(jobs + 1).over(); });
                CHECK(recorder.story(jobs + 1).ids().size() == 20);
                CHECK(batch.cache_use() == 0);
                // Nor is anything held on the devices that the batch does not know of.
                batch.add(job_of(jobs + 2, counted(3, 50)));
                plan.step_until(batch, [&] { return recorder.story(jobs + 2).ids().size() == 3; });
                CHECK(plan.root().cache().used_blocks() == batch.used_blocks());
            });
        }
    }

    TEST_CASE("the last row of a prompt that is shared out has a step as its others have") {
        BatchDevices plan(open_model(tiny_model()),
                          {.devices = 2, .max_rows = 64, .sequence_rows = 60});
        Recorder recorder;
        plan.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(65, 2)));
            std::size_t steps = 0;
            plan.step_until(batch, [&] {
                if (!recorder.story(1).ids().empty()) return true;
                ++steps;
                return false;
            });
            CHECK(steps == 2);
        });
    }

    TEST_CASE("a long prompt comes in beside an answer that gets a token in every step") {
        BatchDevices devices(open_model(tiny_model()), {.max_rows = 256});
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, counted(5, 4000)));
            devices.step_until(batch, [&] { return recorder.story(1).ids().size() >= 10; });
            batch.add(job_of(2, counted(4000, 1)));
            // And a short one behind it does not wait for all of that, however few rows a step has.
            auto question = greedy("", 2);
            question.prompt_ids = {250, 251, 252, 253, 254, 255};
            batch.add(job_of(3, question));
            std::size_t steps = 0, short_took = 0;
            const std::size_t before = recorder.story(1).ids().size();
            devices.step_until(batch, [&] {
                CHECK(recorder.story(1).ids().size() == before + steps);
                if (short_took == 0 && recorder.story(3).over()) short_took = steps;
                return recorder.story(2).over() || steps++ > 4000;
            });
            CHECK(recorder.story(2).over());
            // 256 rows at once would be 16 steps.
            CHECK(steps > 16);
            CHECK(short_took != 0);
            // Two of its own turns, in four each, and those that have no rows of prompts.
            CHECK(short_took <= 14);
            batch.cancel(1);
        });
    }
}

}  // namespace together_test
