// An engine in virtual time that computes hashes: each device of a plan adds those of its own
// heads, columns and rows, so that the sums, and the tokens, are the same for every correct cut of
// the model, and others when anything is missing, doubled, late or of another plan.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/engine/engine.hpp"
#include "tests/daemon/simulation/plane.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace shoal::tests::simulation {

/// What is wrong with a machine, for a while.
struct Faults {
    Loop::Time frozen_until{};  ///< its engine does nothing
    Loop::Time stuck_until{};   ///< its engine loads nothing
    std::uint32_t loads_to_fail = 0;
    std::uint32_t runs_to_fail = 0;  ///< in the step after so many good ones:
    std::uint64_t good_steps = 0;
    double slowness = 1;
    bool full = false;              ///< the mesh has no room for its messages
    Loop::Time unreadable_until{};  ///< its model files
};

/// The ids that a request gives that nothing disturbs, and why it ends.
struct Undisturbed {
    std::vector<std::int32_t> ids;
    mesh::messages::StopReason reason = mesh::messages::StopReason::length;
};
Undisturbed undisturbed(const OpenModel& model, const mesh::messages::Generate& request);
/// A prompt under which the last device of every plan fails.
inline constexpr const char* kPoison = "poison";
/// The text of an id; a request's text is that of all of its ids.
std::string text_of(std::int32_t id);

/// Keeps the order of commands and events of EngineThread, whose thread is this one's timers.
class StandInEngine final : public Engine {
  public:
    struct Surroundings {
        std::size_t device = 0;
        VirtualTime& time;
        std::mt19937_64& random;
        Plane& plane;
        Faults& faults;
        double speed = 1;  ///< bytes of weights in a second
        std::function<std::size_t(const mesh::DeviceId&)> index_of;
    };
    StandInEngine(Surroundings around, EngineEvents events);
    ~StandInEngine() override;

    void load(PlanSpec spec) override;
    void start(mesh::PlanId plan, std::uint32_t run, bool keeps_blocks) override;
    void park(mesh::PlanId plan) override;
    void end(mesh::PlanId plan) override;
    void submit(Job job) override;
    void cancel(JobId job) override;
    EngineSpeed speed() const noexcept override;
    Effort effort() const noexcept override { return effort_; }
    std::vector<mesh::LinkReport> links() const override { return {}; }
    mesh::DataPlaneStats data_stats() const override { return {}; }
    std::uint32_t parallel() const noexcept override { return 4; }
    std::uint16_t data_port() const noexcept override { return 4000; }

    bool idle() const noexcept { return !current_ && !next_; }

  private:
    enum class Stage : std::uint8_t { loading, loaded, joining, serving, stopping };
    struct Running {
        Job job;
        std::uint64_t context = 0;
        std::uint32_t resumed = 0;
    };
    // A step as one device goes through it.
    struct Step {
        std::uint64_t number = 0;
        std::uint32_t collective = 0;  // of kCollectives
        bool computed = false;         // our part of it
        std::vector<std::uint64_t> values;
    };
    struct Carried {
        PlanSpec spec;
        Stage stage = Stage::loading;
        bool ending = false;
        std::uint32_t chunks = 0;
        std::uint32_t run = 0;
        bool park = false;              // as soon as no step is under way
        std::set<std::size_t> met;      // who joined
        std::set<std::size_t> stopped;  // who stands still to be parked
        Loop::Time since;               // of joining, or of the wait for others in a step
        std::optional<Step> step;
        std::uint64_t steps = 0;
        Effort effort;  // before this run
        std::map<std::pair<std::uint64_t, std::uint32_t>,
                 std::map<std::size_t, std::vector<std::uint64_t>>>
            parts;                                                   // by step and collective
        std::map<std::uint64_t, std::vector<std::uint64_t>> orders;  // by step
    };

    void wake(Loop::Clock::duration after);
    void turn();
    void load_on();
    void begin_run(std::uint32_t run);
    void join();
    void stand_still();
    std::vector<mesh::DeviceId> without(const std::set<std::size_t>& devices) const;
    void serve();
    void take_jobs();
    void begin_step();
    bool gather();
    void choose();
    void finish_job(std::size_t index, mesh::messages::StopReason reason);
    void leave(PlanOutcome outcome);
    void receive(const Packet& packet);
    void tell(Packet::Kind kind, std::vector<std::uint64_t> payload = {});
    std::uint64_t part_of(std::uint64_t value) const;
    std::uint64_t held_bytes() const;
    double compute_seconds() const;
    Loop::Clock::duration up_to(std::chrono::milliseconds most);

    const Surroundings around_;
    const EngineEvents events_;
    std::optional<PlanSpec> next_;
    std::optional<Carried> current_;
    std::vector<Carried> held_;  // loaded, and not at work
    std::optional<std::pair<mesh::PlanId, std::uint32_t>> start_;
    std::deque<Job> inbox_;
    std::set<JobId> cancelled_;
    std::vector<Running> running_;
    Effort effort_;
    std::uint64_t generated_ = 0;
    Loop::Time due_ = Loop::Time::max();
    Timer turning_;
};

}  // namespace shoal::tests::simulation
