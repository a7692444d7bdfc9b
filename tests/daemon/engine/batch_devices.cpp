#include "tests/daemon/engine/batch_devices.hpp"

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "daemon/device_facts.hpp"
#include "daemon/engine/exchange_collective.hpp"
#include "daemon/shard/cutter.hpp"
#include "mesh/exchange/memory_exchange.hpp"

namespace shoal::tests {
namespace {

using namespace mesh::messages;

// More than any test takes.
constexpr std::size_t kMostSteps = 100'000;

void no_progress(std::uint64_t, std::uint64_t) {}

PlanSpec spec_of(std::shared_ptr<const OpenModel> model, const BatchSetting& setting) {
    PlanSpec spec = solo_spec(model, plan_id(1), setting.positions);
    spec.slices = shard::cut_evenly(model->source->header(), model->hparams, setting.devices);
    spec.peers.resize(setting.devices);
    spec.options.max_rows = setting.max_rows;
    spec.options.max_outputs = setting.parallel;
    spec.options.collectives = setting.collectives;
    spec.options.sequence_rows = setting.sequence_rows;
    if (setting.sequence_rows != 0) {
        spec.options.row_shares = {spec.slices, std::vector<std::uint32_t>(setting.devices, 1)};
    }
    return spec;
}

// A device's folder as a daemon that has just started sees it.
struct Files {
    Files(const PlanSpec& plan, std::uint32_t rank, const std::filesystem::path& folder)
        : all({.folder = folder, .bytes = 1U << 30, .spare = 0}), slice(all, name_of(plan, rank)) {
        REQUIRE(eventually([&] { return all.ready(); }));
    }
    static KvFiles::Name name_of(PlanSpec plan, std::uint32_t rank) {
        plan.rank = rank;
        return slice_name(plan, choose_kernels("auto").name, "test");
    }

    KvFiles all;
    SliceFiles slice;
};

// Whatever comes, the others are not waited for.
struct Leaving {
    std::unique_ptr<mesh::Exchange>& exchange;
    ~Leaving() { exchange.reset(); }
};

}  // namespace

struct BatchDevices::Device {
    exec::ThreadPool pool{1};
    exec::SliceWeights weights;
    std::unique_ptr<exec::WholeWeights> whole;
    exec::Executor executor;

    Device(const PlanSpec& spec, std::uint32_t rank)
        : weights(exec::SliceWeights::load(*spec.model->source, spec.model->hparams,
                                           spec.slices[rank], choose_kernels("auto"), pool,
                                           no_progress)),
          whole(load_whole(spec, pool)),
          executor(spec.model->hparams, spec.slices[rank], weights, choose_kernels("auto"), pool,
                   spec.options, rank, whole.get()) {}

    static std::unique_ptr<exec::WholeWeights> load_whole(const PlanSpec& spec,
                                                          exec::ThreadPool& pool) {
        if (spec.options.sequence_rows == 0) return nullptr;
        return std::make_unique<exec::WholeWeights>(
            exec::WholeWeights::load(*spec.model->source, spec.model->hparams,
                                     choose_kernels("auto"), pool, UINT64_MAX, no_progress));
    }
};

BatchDevices::BatchDevices(std::shared_ptr<const OpenModel> model, const BatchSetting& setting)
    : spec_(spec_of(std::move(model), setting)),
      parallel_(setting.parallel),
      folders_(setting.folders) {
    folders_.resize(setting.devices);
    for (std::uint32_t r = 0; r < setting.devices; ++r) {
        devices_.push_back(std::make_unique<Device>(spec_, r));
    }
}

BatchDevices::~BatchDevices() = default;

const exec::Executor& BatchDevices::root() const {
    return devices_[0]->executor;
}

void BatchDevices::run(Recorder& recorder, const std::function<void(Batch&)>& body) {
    for (auto& device : devices_) device->executor.clear();
    auto exchanges = mesh::make_memory_exchange(static_cast<std::uint32_t>(devices_.size()));
    std::vector<std::jthread> followers;
    for (std::size_t r = 1; r < devices_.size(); ++r) {
        followers.emplace_back([this, r, exchange = exchanges[r].get()] {
            EffortCounter effort;
            ExchangeCollective collective(*exchange, effort);
            std::optional<Files> files;
            if (!folders_[r].empty())
                files.emplace(spec_, static_cast<std::uint32_t>(r), folders_[r]);
            // It ends when the root goes.
            if (exec::follow(devices_[r]->executor, collective, files ? &files->slice : nullptr) !=
                exec::Status::aborted) {
                throw std::runtime_error("a device left the plan");
            }
        });
    }
    const Leaving leaving{exchanges[0]};
    EffortCounter effort;
    ExchangeCollective collective(*exchanges[0], effort);
    Worker prompts;
    prompts_ = &prompts;
    Batch batch(
        spec_, devices_[0]->executor, collective, {parallel_, 0}, prompts, [] {},
        [&](JobId id, const Event& event) { recorder.add(id, event); });
    std::optional<Files> files;
    if (!folders_[0].empty()) batch.use(&files.emplace(spec_, 0, folders_[0]).slice);
    body(batch);
}

void BatchDevices::step_until(Batch& batch, const std::function<bool()>& over) {
    // The worker takes tasks in order.
    const auto begun = std::make_shared<std::promise<void>>();
    prompts_->post([begun] { begun->set_value(); });
    begun->get_future().wait();
    for (std::size_t steps = 0; !over(); ++steps) {
        REQUIRE(steps < kMostSteps);
        // Nothing would come any more.
        REQUIRE_FALSE(batch.idle());
        REQUIRE(batch.step() == exec::Status::ok);
    }
}

std::vector<Story> BatchDevices::answers(const std::vector<Generate>& requests) {
    Recorder recorder;
    std::vector<Story> stories;
    run(recorder, [&](Batch& batch) {
        for (std::size_t i = 0; i < requests.size(); ++i) batch.add(job_of(i, requests[i]));
        step_until(batch, [&] {
            for (std::size_t i = 0; i < requests.size(); ++i) {
                if (!recorder.story(i).over()) return false;
            }
            return true;
        });
        counts_ = batch.counts();
        for (std::size_t i = 0; i < requests.size(); ++i) stories.push_back(recorder.story(i));
        while (batch.may_keep()) REQUIRE(batch.keep() == exec::Status::ok);
    });
    return stories;
}

std::vector<Generate> mixed_requests(std::size_t count) {
    std::vector<Generate> out;
    for (std::size_t i = 0; i < count; ++i) {
        // Two long ones behind one another, so that these come to want more room than there is.
        const std::size_t answer = i % 5 < 2 ? 400 : 10 + 13 * i % 90;
        auto request = greedy("", static_cast<std::uint32_t>(answer));
        const std::size_t tokens = 1 + 37 * i % 300;
        for (std::size_t t = 0; t < tokens; ++t) {
            request.prompt_ids.push_back(
                static_cast<std::int32_t>((7 + 31 * i + t * (t + i)) % 300));
        }
        switch (i % 8) {
            case 1:
                request.sampling.temperature = 1;
                request.sampling.seed = i;
                break;
            case 2:
                request.sampling.repeat_penalty = 1.3F;
                request.sampling.frequency_penalty = 0.2F;
                break;
            case 3:
                request.ignore_eos = false;
                request.sampling.temperature = 1;
                request.sampling.seed = i;
                request.constraint = {Constraint::Kind::gbnf, "root ::= [a-f]{5,60} \">\""};
                break;
            case 4:
                request.logprobs = 2;
                request.prompt_logprobs = true;
                break;
            case 5:
                request.task = Task::embed;
                break;
            case 6:
                request.stop = {"a", "e", "i"};
                break;
            default:
                break;
        }
        out.push_back(std::move(request));
    }
    return out;
}

bool same_story(const Story& a, const Story& b) {
    const auto told = [](const Story& story) {
        std::vector<TokenScore> scores;
        for (const Event& event : story.events) {
            if (const auto* prompt = std::get_if<PromptTokens>(&event)) {
                for (const auto& entry : prompt->tokens) {
                    scores.push_back({entry.id, 0, entry.text});
                    scores.insert(scores.end(), entry.scores.begin(), entry.scores.end());
                }
            } else if (const auto* token = std::get_if<Token>(&event)) {
                scores.insert(scores.end(), token->scores.begin(), token->scores.end());
            }
        }
        return scores;
    };
    if (a.done() == nullptr || b.done() == nullptr) return false;
    return a.ids() == b.ids() && a.text() == b.text() && a.numbered() && b.numbered() &&
           told(a) == told(b) && a.finals() == 1 && b.finals() == 1 &&
           a.done()->reason == b.done()->reason && a.done()->embedding == b.done()->embedding &&
           a.done()->prompt_tokens == b.done()->prompt_tokens;
}

}  // namespace shoal::tests
