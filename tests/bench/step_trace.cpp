// step_trace: where the time of a decoding step on several devices goes. The devices are threads of
// this process, each with its own weights, executor and data plane, over 127.0.0.1; there is no
// control plane. Every call between executor, lock-step and transport is timed.
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "daemon/device_facts.hpp"
#include "daemon/engine/exchange_collective.hpp"
#include "daemon/exec/executor.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/cutter.hpp"
#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/lockstep_exchange.hpp"
#include "mesh/exchange/zmq_port.hpp"
#include "mesh/exchange/zmtp/zmtp_port.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace {

using namespace shoal;
using namespace shoal::mesh;
using Clock = std::chrono::steady_clock;

struct Options {
    std::string model;
    std::uint32_t devices = 2;
    std::uint32_t threads = 1;
    std::uint32_t prompt = 16;
    std::uint32_t generate = 128;
    std::string transport = "zmtp";
    bool clear = false;
    int spin_us = -1;
    std::uint32_t scatter_rows = 0;
};

enum Stage : std::size_t { kCompute, kSend, kReceive, kLook, kSleep, kRest, kStages };
constexpr const char* kNames[] = {
    "compute",                                 // between collectives; quantise and add with it
    "send (seal, system calls or hand over)",  //
    "receive (system calls or hand over, open)",
    "look for what has not come",
    "sleep",
    "lock-step, copies, core given to others",
};

/// Times of one device's thread.
struct Trace {
    std::array<Clock::duration, kStages> spent{};
    std::uint64_t collectives = 0;
    Clock::time_point left = Clock::now();

    void clear() { *this = Trace(); }
    template <typename Fn>
    auto time(Stage stage, Fn&& fn) {
        const auto start = Clock::now();
        struct Stop {
            Trace& trace;
            Stage stage;
            Clock::time_point start;
            ~Stop() { trace.spent[stage] += Clock::now() - start; }
        } stop{*this, stage, start};
        return fn();
    }
};

class TracedPort final : public exchange::WaitingPort {
  public:
    TracedPort(std::unique_ptr<exchange::WaitingPort> port, Trace& trace)
        : port_(std::move(port)), trace_(trace) {}
    exchange::Frame make(std::size_t size) override { return port_->make(size); }
    bool send(std::uint32_t to, const exchange::Frame& frame) override {
        return trace_.time(kSend, [&] { return port_->send(to, frame); });
    }
    bool settled() const override { return port_->settled(); }
    exchange::Frame receive(std::uint32_t from) override {
        const auto start = Clock::now();
        exchange::Frame frame = port_->receive(from);
        trace_.spent[frame ? kReceive : kLook] += Clock::now() - start;
        return frame;
    }
    std::uint64_t connection(std::uint32_t from) override { return port_->connection(from); }
    void wait(Clock::duration at_most) override {
        trace_.time(kSleep, [&] { port_->wait(at_most); });
    }
    void look() override {
        trace_.time(kLook, [&] { port_->look(); });
    }

  private:
    std::unique_ptr<exchange::WaitingPort> port_;
    Trace& trace_;
};

class TracedCollective final : public exec::Collective {
  public:
    TracedCollective(exec::Collective& collective, Trace& trace)
        : collective_(collective), trace_(trace) {}
    std::uint32_t rank() const noexcept override { return collective_.rank(); }
    std::uint32_t size() const noexcept override { return collective_.size(); }
    exec::Status all_gather(std::span<const std::byte> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        return time([&] { return collective_.all_gather(mine, theirs); });
    }
    exec::Status all_to_all(std::span<const std::span<const std::byte>> mine,
                            std::vector<std::span<const std::byte>>& theirs) override {
        return time([&] { return collective_.all_to_all(mine, theirs); });
    }
    exec::Status broadcast(std::span<const std::byte> payload,
                           std::span<const std::byte>& received) override {
        return time([&] { return collective_.broadcast(payload, received); });
    }
    exec::Status gather(std::span<const std::byte> mine,
                        std::vector<std::span<const std::byte>>& theirs) override {
        return time([&] { return collective_.gather(mine, theirs); });
    }

  private:
    template <typename Fn>
    exec::Status time(Fn&& fn) {
        const auto start = Clock::now();
        trace_.spent[kCompute] += start - trace_.left;
        const auto status = fn();
        trace_.left = Clock::now();
        trace_.spent[kRest] += trace_.left - start;  // what the port took is taken off at the end
        ++trace_.collectives;
        return status;
    }

    exec::Collective& collective_;
    Trace& trace_;
};

void pin(std::uint32_t rank, std::uint32_t threads) {
    const auto cpus = std::max(1u, std::thread::hardware_concurrency());
    cpu_set_t set;
    CPU_ZERO(&set);
    for (std::uint32_t t = 0; t < threads; ++t) CPU_SET((rank * threads + t) % cpus, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/// All that the devices share.
struct Plan {
    explicit Plan(const Options& o)
        : file(o.model),
          hp(model::read_hparams(file)),
          source(file),
          slices(shard::cut_evenly(file.header(), hp, o.devices)),
          joined(o.devices),
          traces(o.devices) {
        for (std::uint32_t r = 0; r < o.devices; ++r) {
            const Identity identity = generate_identity();
            contexts.push_back(std::make_unique<ZmqContext>(identity));
            DataPlaneOptions plane;
            plane.bind = "127.0.0.1";
            const ZmqContext* security = o.clear ? nullptr : contexts.back().get();
            if (o.transport == "zmtp") {
                ports.push_back(std::make_unique<exchange::zmtp::ZmtpPortMaker>(security, plane));
            } else {
                ports.push_back(std::make_unique<exchange::ZmqPortMaker>(contexts.back()->zmq(),
                                                                         security, plane));
            }
            peers.push_back({identity.id, identity.public_key,
                             "tcp://127.0.0.1:" + std::to_string(ports.back()->port())});
        }
        for (const auto& context : contexts) {
            for (const Peer& peer : peers) (void)context->allow(peer.public_key);
        }
    }

    const model::GgufFile file;
    const model::Hparams hp;
    const model::FileSource source;
    const std::vector<shard::Slice> slices;
    std::vector<std::unique_ptr<ZmqContext>> contexts;
    std::vector<std::unique_ptr<exchange::PortMaker>> ports;
    std::vector<Peer> peers;
    std::latch joined;
    std::vector<Trace> traces;
    double seconds = 0;
};

void generate(exec::Root& root, Plan& plan, const Options& o) {
    exec::Sequence sequence;
    sequence.id = 1;
    for (std::uint32_t k = 0; k < o.prompt; ++k) {
        sequence.tokens.push_back(static_cast<std::int32_t>((k * 7919U + 1) % plan.hp.n_vocab));
    }
    exec::Sequence* const all[] = {&sequence};
    std::vector<exec::Chosen> chosen;
    const auto until = [&](std::size_t length) {
        while (sequence.tokens.size() < length) {
            if (root.step(all, chosen) != exec::Status::ok)
                throw std::runtime_error("a step failed");
            for (const exec::Chosen& c : chosen) sequence.tokens.push_back(c.token);
        }
    };
    until(o.prompt + 8);  // warm
    plan.traces[0].clear();
    const auto start = Clock::now();
    until(o.prompt + 8 + o.generate);
    plan.seconds = std::chrono::duration<double>(Clock::now() - start).count();
}

void device(Plan& plan, std::uint32_t rank, const Options& o) {
    pin(rank, o.threads);
    exec::ThreadPool pool(o.threads);
    const kernels::Table& kernels = choose_kernels("auto");
    const auto weights = exec::SliceWeights::load(plan.source, plan.hp, plan.slices[rank], kernels,
                                                  pool, [](std::uint64_t, std::uint64_t) {});
    exec::ExecutorOptions options;
    options.max_rows = std::max<std::uint32_t>(o.prompt, 16);
    options.max_outputs = 1;
    options.scatter_rows = std::min(o.scatter_rows, options.max_rows);
    options.kv_positions = (o.prompt + o.generate + 32 + exec::KvCache::kBlockPositions) /
                           exec::KvCache::kBlockPositions * exec::KvCache::kBlockPositions;
    exec::Executor executor(plan.hp, plan.slices[rank], weights, kernels, pool, options);
    plan.joined.arrive_and_wait();

    DataPlaneStats stats;
    const exchange::Place place{{{1, {}}, 1}, rank, plan.peers};
    exchange::PortMaker& maker = *plan.ports[rank];
    const auto spin = o.spin_us < 0 ? maker.spin() : std::chrono::microseconds(o.spin_us);
    Trace& trace = plan.traces[rank];
    exchange::BlockingExchange exchange(
        std::make_unique<TracedPort>(maker.open(place, stats, {}), trace), place,
        std::chrono::seconds(10), spin, stats, {});
    if (exchange.join(std::chrono::seconds(10)) != ExchangeStatus::ok) {
        throw std::runtime_error(exchange.failure().what);
    }
    EffortCounter effort;
    ExchangeCollective inner(exchange, effort);
    TracedCollective collective(inner, trace);
    if (rank != 0) {
        // Warming and the prompt are in it: some hundredth.
        if (exec::follow(executor, collective) != exec::Status::ok) {
            throw std::runtime_error(exchange.failure().what);
        }
        return;
    }
    exec::Root root(executor, collective, plan.source);
    generate(root, plan, o);
    if (root.stop() != exec::Status::ok) throw std::runtime_error("no orderly end");
}

int trace(const Options& o) {
    Plan plan(o);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t r = 0; r < o.devices; ++r) {
            threads.emplace_back([&, r] {
                try {
                    device(plan, r, o);
                } catch (const std::exception& e) {
                    fmt::print(stderr, "step_trace: device {}: {}\n", r, e.what());
                    std::_Exit(1);
                }
            });
        }
    }
    fmt::print("{} tokens/s, {} {}\n", static_cast<int>(o.generate / plan.seconds), o.transport,
               o.clear ? "in clear" : "encrypted");
    fmt::print("{:45}", "microseconds a collective, by device");
    for (std::uint32_t r = 0; r < o.devices; ++r) fmt::print("{:9}", r);
    fmt::print("\n");
    for (std::size_t stage = 0; stage < kStages; ++stage) {
        fmt::print("{:45}", kNames[stage]);
        for (const Trace& t : plan.traces) {
            auto spent = t.spent[stage];
            if (stage == kRest) {
                for (const Stage s : {kSend, kReceive, kLook, kSleep}) spent -= t.spent[s];
            }
            fmt::print("{:9.2f}",
                       std::chrono::duration<double, std::micro>(spent).count() /
                           static_cast<double>(std::max<std::uint64_t>(1, t.collectives)));
        }
        fmt::print("\n");
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Where the time of a decoding step on several devices goes.");
    Options o;
    app.add_option("-m,--model", o.model, "a GGUF file")->required();
    app.add_option("-d,--devices", o.devices, "devices, as threads")->check(CLI::Range(2, 32));
    app.add_option("-t,--threads", o.threads, "compute threads of each")->check(CLI::Range(1, 64));
    app.add_option("-p,--prompt", o.prompt, "tokens of the prompt")->check(CLI::Range(1, 4096));
    app.add_option("-n,--generate", o.generate, "tokens to generate")->check(CLI::Range(1, 65536));
    app.add_option("--transport", o.transport, "zmtp or libzmq")
        ->check(CLI::IsMember({"zmtp", "libzmq"}));
    app.add_flag("--clear", o.clear, "without encryption");
    app.add_option("--scatter-rows", o.scatter_rows,
                   "from so many rows on sums go in two hops; 0: never");
    app.add_option("--spin", o.spin_us, "microseconds to look before sleeping");
    CLI11_PARSE(app, argc, argv);
    try {
        return trace(o);
    } catch (const std::exception& e) {
        fmt::print(stderr, "step_trace: {}\n", e.what());
        return 1;
    }
}
