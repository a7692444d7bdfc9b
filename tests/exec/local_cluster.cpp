#include "tests/exec/local_cluster.hpp"

#include <stdexcept>
#include <thread>

#include "daemon/engine/exchange_collective.hpp"
#include "daemon/shard/cutter.hpp"
#include "mesh/exchange/memory_exchange.hpp"

namespace shoal::tests {

std::vector<std::int32_t> text_of(std::size_t n) {
    std::vector<std::int32_t> text{1};
    while (text.size() < n) {
        text.push_back(static_cast<std::int32_t>(256 + (text.size() * 7919) % 300));
    }
    return text;
}

std::vector<kernels::Isa> isas_here() {
    std::vector<kernels::Isa> isas;
    for (const kernels::Isa isa : kernels::kIsas) {
        if (kernels::table_for(isa) != nullptr) isas.push_back(isa);
    }
    return isas;
}

std::vector<kernels::Isa> vector_isas_here() {
    std::vector<kernels::Isa> isas = isas_here();
    std::erase(isas, kernels::Isa::ref);
    return isas;
}

namespace {

// Counts what its rank sends.
class Counted final : public exec::Collective {
  public:
    Counted(exec::Collective& inner, std::uint64_t& sent) : inner_(inner), sent_(sent) {}
    std::uint32_t rank() const noexcept override { return inner_.rank(); }
    std::uint32_t size() const noexcept override { return inner_.size(); }
    void uneven() noexcept override { inner_.uneven(); }
    exec::Status all_gather(std::span<const std::byte> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        sent_ += (size() - 1) * mine.size();
        return inner_.all_gather(mine, theirs);
    }
    exec::Status all_to_all(std::span<const std::span<const std::byte>> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        for (std::size_t r = 0; r < mine.size(); ++r) sent_ += r == rank() ? 0 : mine[r].size();
        return inner_.all_to_all(mine, theirs);
    }
    exec::Status broadcast(std::span<const std::byte> payload,
                           std::span<const std::byte>& received) override {
        if (rank() == 0) sent_ += (size() - 1) * payload.size();
        return inner_.broadcast(payload, received);
    }
    exec::Status gather(std::span<const std::byte> mine,
                        std::vector<std::span<const std::byte>>& theirs) override {
        if (rank() != 0) sent_ += mine.size();
        return inner_.gather(mine, theirs);
    }

  private:
    exec::Collective& inner_;
    std::uint64_t& sent_;
};

}  // namespace

struct LocalCluster::Device {
    std::uint64_t sent = 0;
    std::uint64_t judged_steps = 0;
    exec::ThreadPool pool;
    exec::SliceWeights weights;
    std::unique_ptr<exec::WholeWeights> whole;
    exec::Executor executor;

    Device(const model::WeightSource& source, const model::Hparams& hp, std::uint32_t rank,
           const shard::Slice& slice, const ClusterOptions& options)
        : pool(options.threads),
          weights(exec::SliceWeights::load(source, hp, slice, *kernels::table_for(options.isa),
                                           pool, {})),
          whole(load_whole(source, hp, rank, options, pool)),
          executor(hp, slice, weights, *kernels::table_for(options.isa), pool, options.exec, rank,
                   whole.get()) {}

    static std::unique_ptr<exec::WholeWeights> load_whole(const model::WeightSource& source,
                                                          const model::Hparams& hp,
                                                          std::uint32_t rank,
                                                          const ClusterOptions& options,
                                                          exec::ThreadPool& pool) {
        if (options.exec.sequence_rows == 0 || options.row_shares[rank] == 0) return nullptr;
        return std::make_unique<exec::WholeWeights>(
            exec::WholeWeights::load(source, hp, *kernels::table_for(options.isa), pool,
                                     options.whole_bytes, [](std::uint64_t, std::uint64_t) {}));
    }
};

LocalCluster::LocalCluster(const model::GgufFile& file, const ClusterOptions& options)
    : file_(file), hparams_(model::read_hparams(file)), source_(file) {
    const shard::Cutter cutter(file_.header(), hparams_);
    std::vector<shard::Device> devices = cutter.equal_devices(options.devices);
    for (std::size_t i = 0; i < options.speeds.size(); ++i) {
        devices[i].pace = cutter.pace(options.speeds[i]);
    }
    plan_ = cutter.cut(devices, {});
    ClusterOptions o = options;
    if (o.exec.sequence_rows != 0) o.exec.row_shares = {plan_, o.row_shares};
    for (std::uint32_t r = 0; r < plan_.size(); ++r) {
        devices_.push_back(std::make_unique<Device>(source_, hparams_, r, plan_[r], o));
    }
}

LocalCluster::~LocalCluster() = default;

const exec::Executor& LocalCluster::executor(std::uint32_t rank) const {
    return devices_[rank]->executor;
}

const exec::SliceWeights& LocalCluster::weights(std::uint32_t rank) const {
    return devices_[rank]->weights;
}

const exec::WholeWeights* LocalCluster::whole(std::uint32_t rank) const {
    return devices_[rank]->whole.get();
}

std::uint64_t LocalCluster::sent(std::uint32_t rank) const {
    return devices_[rank]->sent;
}

std::uint64_t LocalCluster::judged_steps(std::uint32_t rank) const {
    return devices_[rank]->judged_steps;
}

exec::Status LocalCluster::run(const exec::Step& step) {
    exec::SoloCollective alone;
    return devices_.at(0)->executor.run(step, alone);
}

void LocalCluster::run_plan(const std::function<void(exec::Root&)>& body) {
    auto exchanges = mesh::make_memory_exchange(static_cast<std::uint32_t>(devices_.size()));
    std::vector<exec::Status> ends(devices_.size(), exec::Status::ok);
    std::exception_ptr error;
    {
        std::vector<std::jthread> followers;
        for (std::size_t r = 1; r < devices_.size(); ++r) {
            followers.emplace_back([this, r, exchange = exchanges[r].get(), &ends] {
                EffortCounter effort;
                ExchangeCollective exchanged(*exchange, effort);
                Counted collective(exchanged, devices_[r]->sent = 0);
                ends[r] = exec::follow(devices_[r]->executor, collective);
                devices_[r]->judged_steps = effort.steps;
            });
        }
        EffortCounter effort;
        ExchangeCollective exchanged(*exchanges[0], effort);
        Counted collective(exchanged, devices_[0]->sent = 0);
        exec::Root root(devices_[0]->executor, collective, source_);
        try {
            body(root);
            ends[0] = root.stop();
            devices_[0]->judged_steps = effort.steps;
        } catch (...) {
            error = std::current_exception();
            exchanges[0].reset();
        }
    }
    if (error) std::rethrow_exception(error);
    for (const exec::Status end : ends) {
        if (end != exec::Status::ok) throw std::runtime_error("a device left the plan");
    }
    for (auto& device : devices_) device->executor.clear();
}

// Of the last step's first output: each device has its own rows of the vocabulary.
std::vector<float> LocalCluster::last_logits() const {
    std::vector<float> all;
    for (const auto& device : devices_) {
        const auto part = device->executor.logits(0);
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

Generated LocalCluster::generate(const std::vector<std::int32_t>& prompt, std::uint32_t count,
                                 const exec::Sampling& sampling, bool keep_logits) {
    Generated out;
    run_plan([&](exec::Root& root) {
        exec::Sequence sequence{1, prompt, 0, sampling};
        exec::Sequence* running = &sequence;
        std::vector<exec::Chosen> chosen;
        while (out.ids.size() < count) {
            if (root.step({&running, 1}, chosen) != exec::Status::ok) {
                throw std::runtime_error("the step failed");
            }
            if (chosen.empty()) continue;
            if (keep_logits) out.logits.push_back(last_logits());
            out.ids.push_back(chosen[0].token);
            sequence.tokens.push_back(chosen[0].token);
        }
    });
    return out;
}

std::vector<std::vector<float>> LocalCluster::logits_along(const std::vector<std::int32_t>& ids,
                                                           std::size_t first) {
    std::vector<std::vector<float>> out;
    run_plan([&](exec::Root& root) {
        exec::Sequence sequence{
            1, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(first)}, 0, {}};
        exec::Sequence* running = &sequence;
        std::vector<exec::Chosen> chosen;
        while (out.size() <= ids.size() - first) {
            if (root.step({&running, 1}, chosen) != exec::Status::ok) {
                throw std::runtime_error("the step failed");
            }
            if (chosen.empty()) continue;
            out.push_back(last_logits());
            const std::size_t next = sequence.tokens.size();
            if (next < ids.size()) sequence.tokens.push_back(ids[next]);
        }
    });
    return out;
}

std::vector<std::vector<float>> LocalCluster::logits_at(const std::vector<std::int32_t>& tokens,
                                                        const std::vector<std::uint32_t>& wanted) {
    const model::TensorInfo& table = file_.header().tensor(model::tensor_name::kEmbedding);
    const std::size_t bytes = kernels::row_bytes(table.type, table.cols);
    const std::vector<std::byte> rows = file_.data(table);
    exec::Step step;
    step.embedding_type = table.type;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto row = static_cast<std::uint32_t>(i);
        const auto embedding =
            std::span(rows).subspan(static_cast<std::size_t>(tokens[i]) * bytes, bytes);
        step.rows.push_back({1, row});
        step.embeddings.insert(step.embeddings.end(), embedding.begin(), embedding.end());
    }
    for (const std::uint32_t row : wanted) step.outputs.push_back({row, {}});
    auto exchanges = mesh::make_memory_exchange(1);
    EffortCounter effort;
    ExchangeCollective collective(*exchanges[0], effort);
    exec::Executor& executor = devices_.at(0)->executor;
    if (devices_.size() != 1 || executor.run(step, collective) != exec::Status::ok) {
        throw std::runtime_error("the step failed");
    }
    std::vector<std::vector<float>> out;
    for (std::uint32_t i = 0; i < wanted.size(); ++i) {
        const auto logits = executor.logits(i);
        out.emplace_back(logits.begin(), logits.end());
    }
    executor.clear();
    return out;
}

std::vector<std::vector<std::int32_t>> LocalCluster::generate_together(
    const std::vector<std::vector<std::int32_t>>& prompts, std::uint32_t count,
    const exec::Sampling& sampling) {
    std::vector<exec::Sequence> sequences;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        sequences.push_back({static_cast<exec::SequenceId>(i + 1), prompts[i], 0, sampling});
    }
    run_plan([&](exec::Root& root) {
        std::vector<exec::Chosen> chosen;
        for (;;) {
            std::vector<exec::Sequence*> running;
            for (std::size_t i = 0; i < sequences.size(); ++i) {
                if (sequences[i].tokens.size() < prompts[i].size() + count) {
                    running.push_back(&sequences[i]);
                }
            }
            if (running.empty()) return;
            if (root.step(running, chosen) != exec::Status::ok) {
                throw std::runtime_error("the step failed");
            }
            for (const exec::Chosen& c : chosen) {
                running[c.sequence]->tokens.push_back(c.token);
            }
        }
    });
    std::vector<std::vector<std::int32_t>> out;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        const auto& tokens = sequences[i].tokens;
        out.emplace_back(tokens.begin() + static_cast<std::ptrdiff_t>(prompts[i].size()),
                         tokens.end());
    }
    return out;
}

}  // namespace shoal::tests
