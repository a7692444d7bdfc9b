#include "daemon/engine/batch.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>

#include "daemon/device_facts.hpp"
#include "tests/daemon/support.hpp"

using namespace shoal;
using namespace shoal::tests;

namespace {

// One device that looks at its orders as another would.
struct Watched final : exec::Collective {
    explicit Watched(std::uint32_t width) : dim(width) {}
    std::uint32_t rank() const noexcept override { return 0; }
    std::uint32_t size() const noexcept override { return 1; }
    exec::Status all_gather(std::span<const std::byte> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        return solo.all_gather(mine, theirs);
    }
    exec::Status all_to_all(std::span<const std::span<const std::byte>> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        return solo.all_to_all(mine, theirs);
    }
    exec::Status broadcast(std::span<const std::byte> payload,
                           std::span<const std::byte>& received) override {
        last = exec::decode_order(payload, dim);
        return solo.broadcast(payload, received);
    }
    exec::Status gather(std::span<const std::byte> mine,
                        std::vector<std::span<const std::byte>>& theirs) override {
        return solo.gather(mine, theirs);
    }

    const std::uint32_t dim;
    exec::SoloCollective solo;
    std::optional<exec::Order> last;
};

// A slice in memory, a loop, and what it said.
struct Fixture {
    std::shared_ptr<const OpenModel> model = open_model(tiny_model());
    const PlanSpec spec = solo_spec(model, plan_id(1), 1024);
    exec::ThreadPool pool{1};
    const exec::SliceWeights weights =
        exec::SliceWeights::load(*model->source, model->hparams, spec.slices[0],
                                 choose_kernels("auto"), pool, [](std::uint64_t, std::uint64_t) {});
    exec::Executor executor{model->hparams,         spec.slices[0], weights,
                            choose_kernels("auto"), pool,           spec.options};
    Watched collective{model->hparams.dim};
    Recorder recorder;
    Worker prompts;
    Batch loop{spec,
               executor,
               collective,
               {},
               prompts,
               [] {},
               [this](JobId id, const mesh::messages::Event& event) { recorder.add(id, event); }};

    // Steps until the job is over; it begins on another thread.
    void run(JobId last) {
        while (!recorder.story(last).over()) {
            REQUIRE(loop.step() == exec::Status::ok);
            if (loop.idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
};

}  // namespace

TEST_SUITE("Batch") {
    TEST_CASE_FIXTURE(Fixture, "any number of jobs may end before they run") {
        constexpr JobId kEnded = exec::kMaxStepChanges + 100;
        for (JobId id = 1; id <= kEnded; ++id) {
            auto request = greedy("a", 2);
            request.resume_ids = {5, 6};
            loop.add(job_of(id, request));
        }
        loop.add(job_of(kEnded + 1, greedy("a", 2)));
        run(kEnded + 1);
        // The other devices understand its steps.
        CHECK(collective.last.has_value());
        CHECK(recorder.story(kEnded).over());
        CHECK(recorder.story(kEnded + 1).ids().size() == 2);
        // What ran gives its cache back with the next step.
        loop.add(job_of(kEnded + 2, greedy("a", 1)));
        run(kEnded + 2);
        CHECK(collective.last->step.releases.size() == 1);
        CHECK(executor.cache().used_blocks() == 1);
    }
}
