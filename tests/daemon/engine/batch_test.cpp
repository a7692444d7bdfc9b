#include "daemon/engine/batch.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>

#include "daemon/device_facts.hpp"
#include "tests/daemon/support.hpp"

namespace batch_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

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
        loop.add(job_of(kEnded + 1, greedy("a boat", 2)));
        run(kEnded + 1);
        // The other devices understand its steps.
        CHECK(collective.last.has_value());
        CHECK(recorder.story(kEnded).over());
        CHECK(recorder.story(kEnded + 1).ids().size() == 2);
        // What ran is kept; what was computed twice is given back with the next step.
        loop.add(job_of(kEnded + 2, greedy("a boat", 1)));
        run(kEnded + 2);
        CHECK(collective.last->step.forks.size() == 1);
        loop.add(job_of(kEnded + 3, greedy("a boat", 1)));
        run(kEnded + 3);
        CHECK(collective.last->step.releases.size() == 1);
        CHECK(executor.cache().used_blocks() == 2);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a prompt's tokens are told in parts before the first of an answer") {
        auto request = greedy("", 3);
        for (std::int32_t id = 1; id <= 50; ++id) request.prompt_ids.push_back(id);
        request.logprobs = 2;
        request.prompt_logprobs = true;
        loop.add(job_of(1, request));
        run(1);
        std::uint32_t told = 0, answered = 0;
        for (const Event& event : recorder.story(1).events) {
            if (const auto* part = std::get_if<PromptTokens>(&event)) {
                CHECK(answered == 0);
                CHECK(part->first == told);
                CHECK(part->tokens.size() <= spec.options.max_outputs + 1);
                for (const auto& entry : part->tokens) {
                    CHECK(entry.id == request.prompt_ids[told]);
                    CHECK(entry.scores.size() == (told == 0 ? 0 : 2));
                    if (told != 0) CHECK(entry.scores[0].id == entry.id);
                    ++told;
                }
            } else if (const auto* token = std::get_if<Token>(&event)) {
                REQUIRE(token->scores.size() == 2);
                CHECK(token->scores[0].id == token->id);
                CHECK(token->scores[0].text == model->tokenizer->text(token->id));
                CHECK(token->scores[1] == token->scores[0]);  // greedy takes the likeliest
                ++answered;
            }
        }
        CHECK(told == 50);
        CHECK(answered == 3);

        // One that goes on tells no prompt any more.
        request.resume_ids = {recorder.story(1).ids()[0]};
        loop.add(job_of(2, request));
        run(2);
        CHECK(std::holds_alternative<Token>(recorder.story(2).events.at(0)));
        CHECK(recorder.story(2).ids().size() == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "a text that is read alone ends with its prompt") {
        for (const std::size_t tokens : {1U, 2U, 40U}) {
            CAPTURE(tokens);
            const JobId job = tokens;
            auto request = greedy("", 3);
            request.prompt_ids.assign(tokens, 7);
            request.task = Task::read;
            loop.add(job_of(job, request));
            run(job);
            const Story story = recorder.story(job);
            REQUIRE(story.done() != nullptr);
            CHECK(story.done()->reason == StopReason::length);
            CHECK(story.done()->generated_tokens == 0);
            CHECK(story.done()->prompt_tokens == tokens);
            CHECK(story.ids().empty());
            std::size_t told = 0;
            for (const Event& event : story.events) {
                const auto* part = std::get_if<PromptTokens>(&event);
                if (part == nullptr) continue;
                CHECK(part->first == told);
                told += part->tokens.size();
                CHECK(part->tokens.back().scores.size() == (told == 1 ? 0 : 1));
            }
            CHECK(told == tokens);
        }
        CHECK(loop.cache_use() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a constrained answer is what its grammar says, beside a free one") {
        loop.add(job_of(1, greedy("ab", 12)));
        run(1);
        auto request = greedy("ab", 40);
        request.ignore_eos = false;
        request.sampling.temperature = 1;
        request.constraint = {Constraint::Kind::gbnf,
                              "root ::= \"<\" [a-f]{3,6} \">\" | \"(\" [0-9]+ \")\""};
        for (JobId id = 10; id < 16; ++id) {
            request.sampling.seed = id;
            loop.add(job_of(id, request));
        }
        loop.add(job_of(2, greedy("ab", 12)));
        run(2);
        CHECK(recorder.story(2).ids() == recorder.story(1).ids());
        for (JobId id = 10; id < 16; ++id) {
            run(id);
            const Story story = recorder.story(id);
            REQUIRE(story.done() != nullptr);
            const std::string text = story.text();
            CAPTURE(text);
            REQUIRE_FALSE(text.empty());
            CHECK((text[0] == '<' || text[0] == '('));
            const bool whole = story.done()->reason == StopReason::end;
            if (whole) CHECK(text.back() == (text[0] == '<' ? '>' : ')'));
            CHECK((whole || story.done()->reason == StopReason::length));
            const std::string inner = text.substr(1, text.size() - (whole ? 2 : 1));
            const char* letters = text[0] == '<' ? "abcdef" : "0123456789";
            CHECK(inner.find_first_not_of(letters) == std::string::npos);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a text becomes a vector as wide as the model, beside an answer") {
        loop.add(job_of(1, greedy("ab", 20)));
        auto request = greedy("", 0);
        request.prompt_ids = {5, 6, 7};
        request.task = Task::embed;
        loop.add(job_of(2, request));
        run(2);
        run(1);
        CHECK(recorder.story(1).ids().size() == 20);
        const auto story = recorder.story(2);
        const auto* done = story.done();
        REQUIRE(done != nullptr);
        CHECK(story.events.size() == 1);
        CHECK(done->embedding.size() == model->hparams.dim);
        CHECK(done->prompt_tokens == 3);
        CHECK(done->reason == StopReason::length);
        CHECK(recorder.story(1).done()->embedding.empty());
    }
}

}  // namespace batch_test
