// Texts that devices find on their disks after a restart: the same bits, or none at all.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/daemon/engine/batch_devices.hpp"

namespace kept_blocks_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
namespace fs = std::filesystem;

namespace {

Generate long_prompt(std::size_t tokens, std::uint32_t answer, std::int32_t other = 0) {
    Generate request = greedy("", answer);
    for (std::size_t i = 0; i < tokens; ++i) {
        request.prompt_ids.push_back(static_cast<std::int32_t>((11 * i + i * i % 17) % 300));
    }
    request.prompt_ids.back() = 1 + other;
    return request;
}

struct Fixture {
    TemporaryFolder root;
    BatchSetting setting{.devices = 3, .positions = 2048};
    Fixture() {
        for (std::uint32_t r = 0; r < setting.devices; ++r) {
            setting.folders.push_back(root.folder / std::to_string(r));
        }
    }
    std::vector<fs::path> files(std::size_t device) const {
        std::vector<fs::path> out;
        for (const auto& file : fs::directory_iterator(setting.folders[device])) {
            out.push_back(file.path());
        }
        return out;
    }
    // What a daemon that was just started answers; how many tokens it found.
    std::pair<std::vector<Story>, std::uint64_t> answers(const std::vector<Generate>& requests) {
        BatchDevices devices(open_model(tiny_model()), setting);
        auto stories = devices.answers(requests);
        return {std::move(stories), devices.counts().cached_tokens};
    }
    // And without disks.
    std::vector<Story> computed(const std::vector<Generate>& requests) const {
        BatchSetting none = setting;
        none.folders.clear();
        return BatchDevices(open_model(tiny_model()), none).answers(requests);
    }
};

}  // namespace

TEST_SUITE("kept blocks") {
    TEST_CASE_FIXTURE(Fixture, "a beginning is found on the disks, and gives the same answer") {
        const auto first = answers({long_prompt(700, 40)});
        CHECK(first.second == 0);
        for (std::size_t d = 0; d < 3; ++d) CHECK(files(d).size() == 5);  // 739 tokens
        for (const std::int32_t other : {0, 5}) {
            const std::vector<Generate> request{long_prompt(700, 40, other)};
            const auto again = answers(request);
            CHECK(again.second == 640);
            CHECK(again.first[0].done()->cached_tokens == 640);
            CHECK(same_story(again.first[0], computed(request)[0]));
        }
        // To the last token but one, of one that ends with a block.
        CHECK(answers({long_prompt(640, 3)}).second == 512);
    }

    TEST_CASE_FIXTURE(Fixture, "what one device lacks is computed by all, and kept again") {
        const std::vector<Generate> request{long_prompt(700, 40)};
        const auto expected = computed(request);
        for (const std::size_t device : {0U, 1U, 2U}) {
            CAPTURE(device);
            answers(request);
            // One of its five is damaged, so what stands before it is used.
            const fs::path victim = files(device)[3];
            std::fstream(victim, std::ios::in | std::ios::out | std::ios::binary).put('x');
            const auto after = answers(request);
            CHECK(after.second < 640);
            CHECK(after.second % 128 == 0);
            CHECK(same_story(after.first[0], expected[0]));
            CHECK(answers(request).second == 640);

            for (const fs::path& file : files(device)) fs::remove(file);
            const auto without = answers(request);
            CHECK(without.second == 0);
            CHECK(same_story(without.first[0], expected[0]));
        }
    }

    TEST_CASE_FIXTURE(Fixture, "who is cancelled meanwhile leaves nothing behind") {
        const Generate request = long_prompt(700, 40);
        answers({request});
        BatchDevices devices(open_model(tiny_model()), setting);
        Recorder recorder;
        devices.run(recorder, [&](Batch& batch) {
            batch.add(job_of(1, request));
            devices.step_until(batch, [] { return true; });
            REQUIRE(batch.step() == exec::Status::ok);  // From now on it waits for the disks.
            CHECK(batch.running() == 0);
            batch.cancel(1);
            CHECK(recorder.story(1).over());
            CHECK(batch.idle());
            CHECK(batch.used_blocks() == 0);
            batch.add(job_of(2, request));
            devices.step_until(batch, [&] { return recorder.story(2).over(); });
        });
        CHECK(recorder.story(2).done()->cached_tokens == 640);
        CHECK(same_story(recorder.story(2), computed({request})[0]));
    }

    TEST_CASE_FIXTURE(Fixture, "another device's files serve nobody") {
        const std::vector<Generate> request{long_prompt(700, 40)};
        answers(request);
        std::swap(setting.folders[1], setting.folders[2]);
        const auto swapped = answers(request);
        CHECK(swapped.second == 0);
        CHECK(same_story(swapped.first[0], computed(request)[0]));
    }

    TEST_CASE_FIXTURE(Fixture, "a device that keeps nothing has all compute") {
        const std::vector<Generate> request{long_prompt(700, 40)};
        setting.folders[1].clear();
        CHECK(answers(request).second == 0);
        const auto again = answers(request);
        CHECK(again.second == 0);
        CHECK(same_story(again.first[0], computed(request)[0]));
    }

    TEST_CASE_FIXTURE(Fixture, "many texts come from the disks beside others, in little room") {
        setting.positions = 1024;
        setting.parallel = 4;
        std::vector<Generate> requests = mixed_requests(30);
        for (std::int32_t i = 0; i < 6; ++i) requests.push_back(long_prompt(300 + 100 * i, 20, i));
        const auto expected = computed(requests);
        const std::uint64_t before = answers(requests).second;
        const auto again = answers(requests);
        CHECK(again.second > before);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            CAPTURE(i);
            CHECK(same_story(again.first[i], expected[i]));
        }
    }

    TEST_CASE_FIXTURE(Fixture, "prompts that are shared out by rows find their own kind") {
        setting.sequence_rows = 400;
        const std::vector<Generate> shared{long_prompt(600, 40)}, others{long_prompt(390, 40)};
        answers(shared);
        const auto other = answers(others);
        CHECK(other.second == 0);
        CHECK(same_story(other.first[0], computed(others)[0]));
        const auto again = answers(shared);
        CHECK(again.second == 512);
        CHECK(same_story(again.first[0], computed(shared)[0]));
    }
}

}  // namespace kept_blocks_test
