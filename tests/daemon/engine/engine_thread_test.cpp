#include "daemon/engine/engine_thread.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "daemon/device_facts.hpp"
#include "daemon/shard/cutter.hpp"
#include "mesh/exchange/data_plane.hpp"
#include "tests/daemon/support.hpp"
#include "tests/instrumented.hpp"

namespace engine_thread_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

// Tokenises "slow" only when it is let, or never when it is stopped.
class SlowTokenizer final : public model::Tokenizer {
  public:
    explicit SlowTokenizer(const model::GgufHeader& header) : real_(from_header(header)) {}
    std::vector<model::TokenId> encode(std::string_view text,
                                       const EncodeOptions& options) const override {
        if (text == "slow") {
            began = true;
            stopped = !eventually([&] {
                return go || (options.stop != nullptr && options.stop->stop_requested());
            }) || !go;
        }
        return real_->encode(text, options);
    }
    std::string_view piece(model::TokenId id) const noexcept override { return real_->piece(id); }
    std::size_t size() const noexcept override { return real_->size(); }
    std::optional<model::TokenId> bos() const noexcept override { return real_->bos(); }
    bool is_end(model::TokenId id) const noexcept override { return real_->is_end(id); }
    bool strips_leading_space() const noexcept override { return real_->strips_leading_space(); }

    mutable std::atomic<bool> began{false}, stopped{false};
    std::atomic<bool> go{false};

  private:
    std::unique_ptr<model::Tokenizer> real_;
};

// An engine and what it said.
struct Fixture {
    Fixture() { build(); }
    void build(std::uint32_t parallel = 2) {
        EngineEvents c;
        c.loading = [this](mesh::PlanId id, std::uint64_t, std::uint64_t) {
            note("loading", id);
            if (on_loading) on_loading();
        };
        c.loaded = [this](mesh::PlanId id, HeldBytes held) {
            {
                const std::lock_guard lock(mutex);
                bytes = held;
            }
            note("loaded", id);
        };
        c.started = [this](mesh::PlanId id) { note("started", id); };
        c.parked = [this](mesh::PlanId id) { note("parked", id); };
        c.ended = [this](mesh::PlanId id, const PlanOutcome& outcome) {
            note(outcome.error.empty() ? "ended" : "failed: " + outcome.error, id);
            const std::lock_guard lock(mutex);
            faults.push_back(outcome.fault);
        };
        c.event = [this](JobId id, const Event& event) { recorder.add(id, event); };
        engine = std::make_unique<EngineThread>(choose_kernels("auto"),
                                                EngineThread::Options{.parallel = parallel},
                                                nullptr, std::move(c));
    }
    void note(const std::string& what, mesh::PlanId id) {
        const std::lock_guard lock(mutex);
        if (what != "loading") said.push_back(what + " " + std::to_string(id.number));
    }
    std::size_t count(const std::string& what) const {
        const std::lock_guard lock(mutex);
        return static_cast<std::size_t>(std::count(said.begin(), said.end(), what));
    }
    bool says(const std::string& what) {
        return eventually([&] { return count(what) != 0; });
    }
    bool ends(JobId id) {
        return eventually([&] { return recorder.story(id).over(); });
    }
    bool generates(JobId id, std::size_t tokens) {
        return eventually([&] { return recorder.story(id).ids().size() >= tokens; });
    }
    void serve(std::uint32_t number, std::uint64_t positions = 1024) {
        engine->load(solo_spec(model, plan_id(number), positions));
        engine->start(plan_id(number), number, false);
        REQUIRE(says("started " + std::to_string(number)));
    }

    std::shared_ptr<const OpenModel> model = open_model(long_model());
    mutable std::mutex mutex;
    std::vector<std::string> said;
    std::vector<Fault> faults;
    HeldBytes bytes;
    std::function<void()> on_loading;
    Recorder recorder;
    std::unique_ptr<Engine> engine;
};

}  // namespace

TEST_SUITE("Engine") {
    TEST_CASE_FIXTURE(Fixture, "a plan is loaded, started, served and ended") {
        engine->load(solo_spec(model, plan_id(1), 1024));
        REQUIRE(says("loaded 1"));
        CHECK(bytes.weights >= bytes.planned_weights);
        CHECK(bytes.planned_weights > 100'000);
        CHECK(bytes.kv_cache == 1024 * 2 * 2 * 2 * 16 * 4);
        CHECK(count("started 1") == 0);
        engine->start(plan_id(1), 1, false);
        REQUIRE(says("started 1"));
        engine->submit(job_of(1, greedy("hello", 10)));
        REQUIRE(ends(1));
        CHECK(recorder.story(1).ids().size() == 10);
        CHECK(recorder.story(1).numbered());
        engine->end(plan_id(1));
        REQUIRE(says("ended 1"));
        CHECK(engine->speed().running == 0);
        CHECK(engine->speed().generated_tokens == 10);
    }

    TEST_CASE_FIXTURE(Fixture, "a resumed job goes on with the tokens of an undisturbed one") {
        serve(1);
        engine->submit(job_of(1, greedy("hello", 60)));
        REQUIRE(ends(1));
        const Story whole = recorder.story(1);
        for (const std::size_t split : {1U, 20U, 59U, 60U}) {
            CAPTURE(split);
            auto request = greedy("hello", 60);
            const auto ids = whole.ids();
            request.resume_ids.assign(ids.begin(), ids.begin() + static_cast<long>(split));
            const JobId id = 100 + split;
            engine->submit(job_of(id, request));
            REQUIRE(ends(id));
            CHECK(recorder.story(id).ids() ==
                  std::vector<std::int32_t>(ids.begin() + static_cast<long>(split), ids.end()));
            CHECK(recorder.story(id).done()->generated_tokens == 60);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "jobs that run together give what each gives alone") {
        serve(1);
        std::vector<std::vector<std::int32_t>> alone;
        for (JobId id = 1; id <= 5; ++id) {
            engine->submit(job_of(id, greedy("text " + std::to_string(id), 30)));
            REQUIRE(ends(id));
            alone.push_back(recorder.story(id).ids());
        }
        for (JobId id = 1; id <= 5; ++id) {
            engine->submit(job_of(10 + id, greedy("text " + std::to_string(id), 30)));
        }
        for (JobId id = 1; id <= 5; ++id) {
            REQUIRE(ends(10 + id));
            CHECK(recorder.story(10 + id).ids() == alone[id - 1]);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a job waits for room in the cache, then runs") {
        serve(1, 256);
        engine->submit(job_of(1, greedy("a", 0)));
        engine->submit(job_of(2, greedy("a", 0)));
        engine->submit(job_of(3, greedy("a", 5)));
        for (JobId id = 1; id <= 3; ++id) {
            REQUIRE(ends(id));
            REQUIRE(recorder.story(id).done() != nullptr);
            CHECK(recorder.story(id).done()->reason == StopReason::length);
        }
        CHECK(recorder.story(1).ids().size() == recorder.story(2).ids().size());
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling reaches a job that waits, that runs, or is no more") {
        engine.reset();
        build(1);
        serve(1, 60'000);
        engine->cancel(99);
        engine->submit(job_of(1, greedy("a", 0)));
        engine->submit(job_of(2, greedy("a", 5)));
        engine->submit(job_of(3, greedy("a", 5)));
        REQUIRE(generates(1, 3));
        engine->cancel(2);
        REQUIRE(ends(2));
        CHECK(recorder.story(2).failed()->code == ErrorCode::cancelled);
        engine->cancel(1);
        engine->cancel(1);
        REQUIRE(ends(1));
        CHECK(recorder.story(1).done()->reason == StopReason::cancelled);
        REQUIRE(ends(3));
        engine->cancel(3);
        engine->submit(job_of(4, greedy("a", 5)));
        engine->cancel(4);
        REQUIRE(ends(4));
        for (JobId id = 1; id <= 4; ++id) CHECK(recorder.story(id).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "while a prompt becomes tokens others go on, and it can be given up") {
        // The file's own model, with another tokenizer.
        const auto with = [&](std::unique_ptr<const model::Tokenizer> tokenizer) {
            auto slow = std::make_shared<OpenModel>();
            slow->hparams = model->hparams;
            struct Same final : model::WeightSource {
                explicit Same(std::shared_ptr<const OpenModel> m) : real(std::move(m)) {}
                const model::GgufHeader& header() const noexcept override {
                    return real->source->header();
                }
                std::span<const std::byte> header_bytes() const noexcept override {
                    return real->source->header_bytes();
                }
                void read(const model::Piece& piece, std::uint64_t offset,
                          std::span<std::byte> out) const override {
                    real->source->read(piece, offset, out);
                }
                void expect(const model::Piece& piece, std::uint64_t offset,
                            std::uint64_t bytes) const override {
                    real->source->expect(piece, offset, bytes);
                }
                std::shared_ptr<const OpenModel> real;
            };
            slow->source = std::make_unique<Same>(model);
            slow->tokenizer = std::move(tokenizer);
            return slow;
        };
        auto made = std::make_unique<SlowTokenizer>(model->source->header());
        SlowTokenizer& tokenizer = *made;
        model = with(std::move(made));
        serve(1, 60'000);
        engine->submit(job_of(1, greedy("a", 20'000)));
        REQUIRE(generates(1, 3));
        engine->submit(job_of(2, greedy("slow", 5)));
        engine->submit(job_of(3, greedy("b", 5)));
        REQUIRE(eventually([&] { return tokenizer.began.load(); }));
        REQUIRE(generates(1, recorder.story(1).ids().size() + 20));
        CHECK(recorder.story(2).events.empty());
        // Jobs start in order.
        CHECK(recorder.story(3).events.empty());
        tokenizer.go = true;
        REQUIRE(ends(2));
        CHECK(recorder.story(2).ids().size() == 5);
        REQUIRE(ends(3));
        CHECK_FALSE(tokenizer.stopped);

        // Cancelled, it neither holds up those behind it nor is worked on any more.
        tokenizer.go = false;
        tokenizer.began = false;
        engine->submit(job_of(4, greedy("slow", 5)));
        engine->submit(job_of(5, greedy("b", 5)));
        REQUIRE(eventually([&] { return tokenizer.began.load(); }));
        engine->cancel(4);
        REQUIRE(ends(4));
        REQUIRE(recorder.story(4).failed() != nullptr);
        CHECK(recorder.story(4).failed()->code == ErrorCode::cancelled);
        REQUIRE(ends(5));
        CHECK(tokenizer.stopped);

        // Neither a plan's end nor the engine's waits for it.
        tokenizer.began = tokenizer.stopped = false;
        engine->submit(job_of(6, greedy("slow", 5)));
        REQUIRE(eventually([&] { return tokenizer.began.load(); }));
        engine->end(plan_id(1));
        serve(2, 60'000);
        engine->submit(job_of(7, greedy("b", 5)));
        REQUIRE(ends(7));
        CHECK(tokenizer.stopped);
        CHECK_FALSE(recorder.story(6).over());
        tokenizer.began = tokenizer.stopped = false;
        engine->submit(job_of(8, greedy("slow", 5)));
        REQUIRE(eventually([&] { return tokenizer.began.load(); }));
        engine.reset();
        CHECK(tokenizer.stopped);
    }

    TEST_CASE_FIXTURE(Fixture, "a job that cannot run fails alone") {
        serve(1, 256);
        auto wrong = greedy("", 5);
        wrong.prompt_ids = {1'000'000};
        engine->submit(job_of(1, wrong));
        engine->submit(job_of(2, greedy(std::string(3000, 'x'), 5)));
        engine->submit(job_of(3, greedy("good", 5)));
        REQUIRE(ends(3));
        CHECK(recorder.story(1).failed()->code == ErrorCode::bad_request);
        CHECK(recorder.story(2).failed()->code == ErrorCode::context_length);
        CHECK(recorder.story(3).ids().size() == 5);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan is parked, another serves, and it goes on where it was") {
        constexpr std::uint32_t kTokens = by_speed(3000, 1000);
        serve(1, 60'000);
        auto request = greedy("hello", kTokens);
        request.ignore_eos = true;
        engine->submit(job_of(1, request));
        REQUIRE(generates(1, 40));
        engine->park(plan_id(1));
        REQUIRE(says("parked 1"));
        engine->load(solo_spec(open_model(tiny_model()), plan_id(2), 1024));
        REQUIRE(says("loaded 2"));
        CHECK_FALSE(recorder.story(1).over());
        CHECK(engine->speed().running == 0);
        engine->start(plan_id(2), 2, false);
        REQUIRE(says("started 2"));
        engine->submit(job_of(3, greedy("hello", 5)));
        REQUIRE(ends(3));
        engine->park(plan_id(2));
        REQUIRE(says("parked 2"));

        const auto so_far = recorder.story(1).ids();
        const std::uint64_t cached = engine->speed().cached_tokens;
        request.resume_ids = so_far;
        engine->start(plan_id(1), 3, false);
        REQUIRE(eventually([&] { return count("started 1") == 2; }));
        engine->submit(job_of(4, request));
        request.resume_ids.clear();
        engine->submit(job_of(5, request));
        REQUIRE(ends(4));
        REQUIRE(ends(5));
        auto all = so_far;
        for (const std::int32_t id : recorder.story(4).ids()) all.push_back(id);
        CHECK(all == recorder.story(5).ids());
        CHECK(all.size() == kTokens);
        // What it had computed was still there, the prompt as well.
        CHECK(engine->speed().cached_tokens > cached);
        // A parked plan ends at once, whatever the engine is at.
        engine->submit(job_of(6, greedy("a", 0)));
        REQUIRE(generates(6, 2));
        engine->end(plan_id(2));
        CHECK(count("ended 2") == 1);
        CHECK_FALSE(recorder.story(6).over());
        CHECK(count("ended 1") == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan that ends makes way for the next, whatever it is doing") {
        engine->load(solo_spec(model, plan_id(2), 1024));
        REQUIRE(says("loaded 2"));
        engine->end(plan_id(2));
        engine->load(solo_spec(model, plan_id(3), 60'000));
        engine->start(plan_id(3), 3, false);
        REQUIRE(says("started 3"));
        engine->submit(job_of(1, greedy("a", 0)));
        REQUIRE(generates(1, 3));
        engine->end(plan_id(3));
        serve(4);
        CHECK(count("ended 2") == 1);
        CHECK(count("ended 3") == 1);
        CHECK_FALSE(recorder.story(1).over());
        // A start or an end of an old plan is nothing to the new one.
        engine->start(plan_id(2), 2, false);
        engine->end(plan_id(3));
        engine->submit(job_of(2, greedy("a", 5)));
        CHECK(ends(2));
        CHECK(count("ended 4") == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan that ends before it begins is not heard of") {
        serve(1);
        std::promise<void> go;
        on_loading = [&, once = std::make_shared<bool>(false)] {
            if (!std::exchange(*once, true)) go.get_future().wait();
        };
        engine->end(plan_id(1));
        engine->load(solo_spec(model, plan_id(2), 1024));
        REQUIRE(says("ended 1"));
        engine->end(plan_id(2));
        engine->load(solo_spec(model, plan_id(3), 1024));
        engine->end(plan_id(3));
        engine->load(solo_spec(model, plan_id(4), 1024));
        engine->start(plan_id(4), 4, false);
        go.set_value();
        REQUIRE(says("started 4"));
        CHECK(count("loaded 2") == 0);
        CHECK(count("ended 2") == 1);
        CHECK(count("ended 3") == 0);
        on_loading = nullptr;
    }

    TEST_CASE_FIXTURE(Fixture, "a job for a plan that is over does not run under the next one") {
        serve(1);
        engine->end(plan_id(1));
        REQUIRE(says("ended 1"));
        engine->submit(job_of(1, greedy("a", 5)));
        engine->cancel(2);
        serve(2);
        engine->submit(job_of(2, greedy("a", 5)));
        REQUIRE(ends(2));
        CHECK(recorder.story(2).ids().size() == 5);
        CHECK(recorder.story(1).events.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a slice that cannot be loaded ends the plan with the reason") {
        struct Broken final : model::WeightSource {
            explicit Broken(const model::WeightSource& real) : inner(real) {}
            const model::GgufHeader& header() const noexcept override { return inner.header(); }
            std::span<const std::byte> header_bytes() const noexcept override {
                return inner.header_bytes();
            }
            void read(const model::Piece& piece, std::uint64_t offset,
                      std::span<std::byte> out) const override {
                if (piece.tensor == broken) throw model::ModelError(piece.tensor + " is broken");
                inner.read(piece, offset, out);
            }
            void expect(const model::Piece&, std::uint64_t, std::uint64_t) const override {}
            const model::WeightSource& inner;
            std::string broken;
        };
        const auto open = [&](const std::string& tensor) {
            auto damaged = std::make_shared<OpenModel>();
            damaged->hparams = model->hparams;
            auto source = std::make_unique<Broken>(*model->source);
            source->broken = tensor;
            damaged->source = std::move(source);
            damaged->tokenizer = model::Tokenizer::from_header(model->source->header());
            return damaged;
        };
        engine->load(solo_spec(open("blk.1.ffn_up.weight"), plan_id(1), 1024));
        CHECK(says("failed: blk.1.ffn_up.weight is broken 1"));
        // The embedding is read as tokens need it.
        serve(2);
        engine->end(plan_id(2));
        engine->load(solo_spec(open("token_embd.weight"), plan_id(3), 1024));
        engine->start(plan_id(3), 3, false);
        REQUIRE(says("loaded 3"));
        engine->submit(job_of(1, greedy("a", 5)));
        CHECK(eventually([&] {
            if (count("started 3") != 0) engine->submit(job_of(2, greedy("a", 5)));
            return count("failed: token_embd.weight is broken 3") == 1;
        }));
        serve(4);
        engine->submit(job_of(3, greedy("a", 5)));
        CHECK(ends(3));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a model file that is changed in place ends the plan, with no text") {
        const TemporaryFolder temporary;
        const auto path = temporary.folder / "model.gguf";
        const auto overwrite = [&path](const std::filesystem::path& from, std::size_t length) {
            std::ifstream in(from, std::ios::binary);
            const std::string content{std::istreambuf_iterator<char>(in), {}};
            std::ofstream(path, std::ios::binary | std::ios::trunc) << content.substr(0, length);
        };
        const std::size_t whole = std::filesystem::file_size(tiny_model());
        const auto check = [&](std::uint32_t plan, const std::filesystem::path& from,
                               std::size_t length) {
            std::filesystem::remove(path);
            overwrite(tiny_model(), whole);
            std::filesystem::last_write_time(
                path, std::filesystem::last_write_time(tiny_model()) - std::chrono::seconds(5));
            engine->load(solo_spec(open_model(path), plan_id(plan), 1024));
            engine->start(plan_id(plan), plan, false);
            REQUIRE(says(fmt::format("started {}", plan)));
            overwrite(from, length);
            engine->submit(job_of(plan, greedy("a", 5)));
            const std::string reason = fmt::format("failed: {}", path.string());
            const std::string number = fmt::format(" {}", plan);
            CHECK(eventually([&] {
                const std::lock_guard lock(mutex);
                return std::any_of(said.begin(), said.end(), [&](const std::string& text) {
                    return text.starts_with(reason) && text.ends_with(number);
                });
            }));
            CHECK(recorder.story(plan).ids().empty());
        };
        check(1, other_model(), whole);
        check(2, tiny_model(), 4096);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan of several devices needs a data plane") {
        auto spec = solo_spec(model, plan_id(1), 1024);
        spec.peers.push_back({device_id(2), {}, "tcp://10.0.0.2:1"});
        spec.slices.push_back({});
        engine->load(spec);
        engine->start(plan_id(1), 1, false);
        CHECK(eventually([&] {
            const std::lock_guard lock(mutex);
            return std::any_of(said.begin(), said.end(), [](const std::string& s) {
                return s.find("data plane") != std::string::npos;
            });
        }));
    }

    TEST_CASE("what a device computes in a plan counts on in its next turn") {
        zmq::context_t context;
        std::mutex mutex;
        std::map<std::string, std::size_t> said;
        std::vector<std::unique_ptr<EngineThread>> devices;
        Recorder recorder;
        const auto happened = [&](const std::string& what, std::size_t times) {
            return eventually([&] {
                const std::lock_guard lock(mutex);
                return said[what] == times;
            });
        };
        const auto make_data_plane = [&] {
            const mesh::DataPlaneOptions options{.bind = "127.0.0.1", .encrypt = false};
            return std::make_unique<mesh::DataPlane>(context, options);
        };
        EngineEvents events;
        const auto note = [&](const std::string& what, mesh::PlanId plan) {
            const std::lock_guard lock(mutex);
            ++said[what + " " + std::to_string(plan.number)];
        };
        events.loading = [](mesh::PlanId, std::uint64_t, std::uint64_t) {};
        events.loaded = [&](mesh::PlanId plan, HeldBytes) { note("loaded", plan); };
        events.started = [&](mesh::PlanId plan) { note("started", plan); };
        events.parked = [&](mesh::PlanId plan) { note("parked", plan); };
        events.ended = [&](mesh::PlanId plan, const PlanOutcome&) { note("ended", plan); };
        events.event = [&](JobId id, const Event& event) { recorder.add(id, event); };
        for (int i = 0; i < 2; ++i) {
            devices.push_back(std::make_unique<EngineThread>(
                choose_kernels("auto"), EngineThread::Options{}, make_data_plane, events));
        }
        const auto model = open_model(tiny_model());
        const auto load = [&](std::uint32_t plan) {
            PlanSpec spec = solo_spec(model, plan_id(plan), 1024);
            spec.slices = shard::cut_evenly(model->source->header(), model->hparams, 2);
            spec.peers.clear();
            for (std::uint8_t d = 0; d < 2; ++d) {
                spec.peers.push_back(
                    {device_id(d + 1),
                     {},
                     "tcp://127.0.0.1:" + std::to_string(devices[d]->data_port())});
            }
            for (std::uint32_t d = 0; d < 2; ++d) {
                spec.rank = d;
                devices[d]->load(spec);
            }
            REQUIRE(happened("loaded " + std::to_string(plan), 2));
        };
        std::uint32_t run = 0;
        // A turn, with one job.
        const auto serve = [&](std::uint32_t plan, std::size_t turn) {
            ++run;
            for (const auto& device : devices) device->start(plan_id(plan), run, false);
            REQUIRE(happened("started " + std::to_string(plan), 2 * turn));
            devices[0]->submit(job_of(run, greedy("hello", 20)));
            REQUIRE(eventually([&] { return recorder.story(run).over(); }));
            CHECK(recorder.story(run).ids().size() == 20);
            devices[0]->park(plan_id(plan));
            REQUIRE(happened("parked " + std::to_string(plan), 2 * turn));
        };
        load(1);
        load(2);
        serve(1, 1);
        const Effort first = devices[1]->effort();
        CHECK(first.plan == plan_id(1));
        CHECK(first.steps >= 15);
        CHECK(first.seconds > 0);
        serve(2, 1);
        CHECK(devices[1]->effort().plan == plan_id(2));
        CHECK(devices[1]->effort().steps < 2 * first.steps - 5);
        serve(1, 2);
        for (const auto& device : devices) {
            const Effort both = device->effort();
            CHECK(both.plan == plan_id(1));
            CHECK(both.steps >= first.steps + 15);
            CHECK(both.seconds > first.seconds);
        }
    }

    TEST_CASE("what makes the data plane throws is thrown to the caller") {
        CHECK_THROWS_WITH_AS(EngineThread(choose_kernels("auto"), {},
                                          []() -> std::unique_ptr<mesh::DataPlane> {
                                              throw std::runtime_error("no port is free");
                                          },
                                          {}),
                             "no port is free", std::runtime_error);
    }

    TEST_CASE_FIXTURE(Fixture, "it can go at any moment") {
        std::mt19937 random(1);
        for (int round = 0; round < 60; ++round) {
            CAPTURE(round);
            engine.reset();
            recorder.clear();
            said.clear();
            build();
            engine->load(solo_spec(model, plan_id(1), 60'000));
            if (round % 3 != 0) engine->start(plan_id(1), 1, false);
            if (round % 3 == 2) {
                REQUIRE(says("started 1"));
                engine->submit(job_of(1, greedy("a", 0)));
                if (round % 2 == 0) REQUIRE(generates(1, 2));
            }
            if (round % 7 == 0) engine->park(plan_id(1));
            // A plan that waits for the first one to end, or to be parked.
            if (round % 4 != 0) engine->load(solo_spec(model, plan_id(2), 1024));
            if (round % 5 == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 999));
        }
        engine.reset();
    }

    TEST_CASE_FIXTURE(Fixture,
                      "commands of many threads in any order end every plan and job once") {
        std::atomic<std::uint32_t> number{0};
        std::atomic<JobId> job{0};
        {
            std::vector<std::jthread> threads;
            for (unsigned seed = 1; seed <= 4; ++seed) {
                threads.emplace_back([&, seed] {
                    std::mt19937 random(seed);
                    for (int i = 0; i < 150; ++i) {
                        const std::uint32_t latest = number;
                        switch (random() % 9) {
                            case 8:
                                engine->park(plan_id(latest));
                                break;
                            case 0:
                                engine->end(plan_id(latest));
                                engine->load(solo_spec(model, plan_id(++number), 1024));
                                break;
                            case 1:
                                engine->end(plan_id(latest));
                                break;
                            case 2:
                                engine->cancel(job - random() % 4);
                                break;
                            case 3:
                            case 4:
                                engine->submit(job_of(++job, greedy("a", static_cast<std::uint32_t>(
                                                                             1 + random() % 20))));
                                break;
                            default:
                                engine->start(plan_id(latest), latest, false);
                                std::this_thread::sleep_for(std::chrono::microseconds(300));
                        }
                    }
                });
            }
        }
        for (std::uint32_t n = 1; n <= number; ++n) engine->end(plan_id(n));
        serve(++number);
        const JobId last = ++job;
        engine->submit(job_of(last, greedy("a", 5)));
        REQUIRE(ends(last));
        engine.reset();
        for (JobId id = 1; id <= last; ++id) {
            CHECK(recorder.story(id).finals() <= 1);
            CHECK(recorder.story(id).numbered());
        }
        for (std::uint32_t n = 1; n <= number; ++n) {
            CHECK(count("ended " + std::to_string(n)) <= 1);
            const std::string which = " " + std::to_string(n);
            CHECK(count("started" + which) <= count("loaded" + which) + count("parked" + which));
        }
    }
}

}  // namespace engine_thread_test
