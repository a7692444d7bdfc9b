// Whole daemons on one network in virtual time: their cores, with stand-ins behind the ports.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/core.hpp"
#include "tests/daemon/simulation/device_loop.hpp"
#include "tests/daemon/simulation/plane.hpp"
#include "tests/daemon/simulation/stand_in_engine.hpp"
#include "tests/daemon/simulation/stand_in_models.hpp"
#include "tests/daemon/virtual_loop.hpp"
#include "tests/mesh/memory_network.hpp"

namespace shoal::tests::simulation {

/// How often what was seen, over all seeds.
using Coverage = std::map<std::string, std::uint64_t>;

class World;

/// The mesh of a simulated device: its node on the network in memory.
class SimulatedMesh final : public mesh::Mesh {
  public:
    SimulatedMesh(World& world, std::size_t device) : world_(world), device_(device) {}

    const mesh::DeviceId& self() const noexcept override;
    std::optional<mesh::DeviceId> root() const noexcept override;
    mesh::Term term() const noexcept override;
    std::vector<mesh::Member> members() const override;
    bool send(const mesh::DeviceId& to, std::span<const std::byte> bytes) override;
    void describe(mesh::DeviceDescription self) override;
    std::vector<mesh::messages::Warning> warnings() const override;

  private:
    World& world_;
    const std::size_t device_;
};

/// What of a device outlives its process.
struct Machine {
    std::size_t index = 0;
    std::set<std::size_t> disk;
    double speed = 1e9;
    std::uint64_t memory = 0;  ///< for plans; 0: no limit
    std::int32_t priority = 0;
    Faults faults;
    std::uint64_t lives = 0;
};

/// A daemon's process, from its start to its end.
class Life {
  public:
    Life(World& world, Machine& machine, const DaemonCore::Settings& settings);
    /// Crashes.
    ~Life() = default;

    DeviceLoop loop;
    VirtualBackground texts, plans;
    SimulatedMesh mesh;
    StandInModels models;
    StandInEngine engine;
    DaemonCore core;
    std::set<mesh::DeviceId> members;  ///< the others

  private:
    EngineEvents engine_events();
    ModelProvider::Links model_links();
    void start_node();

    World& world_;
    Machine& machine_;
};

class World {
  public:
    /// `verbose`: says on standard output what happens.
    World(std::uint64_t seed, Coverage& coverage, bool verbose);

    std::size_t add(Machine machine);
    void start(std::size_t device);
    /// Ends a device's process: it crashes, its machine loses its power, or it says goodbye.
    enum class End : std::uint8_t { crash, power_loss, goodbye };
    void stop(std::size_t device, End end);
    bool lives(std::size_t device) const { return lives_[device] != nullptr; }
    Life& life(std::size_t device) { return *lives_.at(device); }
    Machine& machine(std::size_t device) { return *machines_.at(device); }
    const Machine& machine(std::size_t device) const { return *machines_.at(device); }
    std::size_t size() const { return machines_.size(); }

    /// Time passes until it is so; false when that takes longer.
    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds at_most);
    void run(std::chrono::milliseconds duration) {
        run_until([] { return false; }, duration);
    }
    /// Does something at a time.
    void at(std::chrono::milliseconds after, std::function<void()> task) {
        planned_.push_back(time.at(time.now() + after, std::move(task)));
    }
    /// Called whenever something may have happened.
    std::function<void()> watch = [] {};
    void log(const std::string& line) const;
    void count(const std::string& what) { ++coverage_[what]; }

    std::uint64_t seed;
    std::mt19937_64 random;
    MemoryNetwork network;
    VirtualTime time;
    Plane plane;
    DaemonCore::Settings settings;

    std::uint64_t below(std::uint64_t end) {
        return std::uniform_int_distribution<std::uint64_t>(0, end - 1)(random);
    }
    bool chance(double probability) {
        return std::uniform_real_distribution<>(0, 1)(random) < probability;
    }

  private:
    // What was seen of a device last.
    struct Seen {
        PlanLife::State plan = PlanLife::State::none;
        std::set<std::string> left_out;  // why
    };
    void observe();
    void observe_left_out(Life& life, Seen& seen);

    Coverage& coverage_;
    const bool verbose_;
    const Loop::Time begin_;
    mesh::ClusterKey key_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::vector<std::unique_ptr<Life>> lives_;
    std::vector<Seen> seen_;  // of each device
    std::vector<Timer> planned_;
};

}  // namespace shoal::tests::simulation
