// What the daemon's deciding half asks of the one that computes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/engine/effort.hpp"
#include "daemon/engine/generation.hpp"
#include "daemon/engine/plan_spec.hpp"
#include "mesh/exchange/link_meter.hpp"
#include "mesh/exchange/stats.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// What a loaded plan takes on this device.
struct HeldBytes {
    std::uint64_t weights = 0;
    std::uint64_t planned_weights = 0;  ///< what the plan said
    std::uint64_t kv_cache = 0;         ///< capacity; taken as positions are used
    std::uint64_t buffers = 0;
    bool keeps_blocks = false;  ///< of the KV cache, on this device's disk
};

/// How a plan ended on this device.
struct PlanOutcome {
    std::string error;  ///< empty: it was asked to end
    mesh::messages::Fault fault = mesh::messages::Fault::none;
    std::vector<mesh::DeviceId> missing;  ///< from whom nothing came, if that is why
};

/// Speeds of the current or last generation, and what was done since the start.
struct EngineSpeed {
    double prefill_tokens_per_second = 0;
    double decode_tokens_per_second = 0;
    std::uint64_t generated_tokens = 0;
    std::uint32_t running = 0;
    std::uint64_t preemptions = 0;    ///< jobs that gave their room in the cache to others
    std::uint64_t prompt_tokens = 0;  ///< of jobs that were begun
    std::uint64_t cached_tokens = 0;  ///< of these, those whose K and V were there
    double cache_use = 0;             ///< part of the cache that jobs have now
};

/// What an engine says. Called on a thread of its own; must return quickly.
struct EngineEvents {
    std::function<void(mesh::PlanId, std::uint64_t done, std::uint64_t total)> loading;
    std::function<void(mesh::PlanId, HeldBytes)> loaded;
    std::function<void(mesh::PlanId)> started;
    /// It may start again, and every event of its jobs came before. Jobs without a final event are
    /// the caller's to submit again.
    std::function<void(mesh::PlanId)> parked;
    /// The plan is over; every event of its jobs came before. Jobs without a final event are
    /// the caller's to submit again.
    std::function<void(mesh::PlanId, PlanOutcome)> ended;
    std::function<void(JobId, const mesh::messages::Event&)> event;
};

/// Holds this device's slices and runs its part of every step. Thread-safe. Loads or serves one
/// plan at a time; others are parked, with their weights and what their KV caches hold. Commands of
/// a plan that there is none are ignored.
class Engine {
  public:
    virtual ~Engine() = default;

    /// Load a slice, after the plan before it is parked or over.
    virtual void load(PlanSpec spec) = 0;
    /// Everyone has loaded: join the others and serve. Each start of a plan has another number
    /// `run`, which no plan of the term has. `keeps_blocks`: all its devices do (HeldBytes).
    virtual void start(mesh::PlanId plan, std::uint32_t run, bool keeps_blocks) = 0;
    /// Stop serving after the step that is under way, on the plan's root: the others follow.
    virtual void park(mesh::PlanId plan) = 0;
    /// Leave a plan and give back what it takes: abandons the step that is under way.
    virtual void end(mesh::PlanId plan) = 0;
    /// A job for the current plan, on its root, once it has started. Jobs run in order, some at
    /// a time. One that comes when the plan is over already is forgotten.
    virtual void submit(Job job) = 0;
    /// The job's final event comes soon; unknown ones are ignored.
    virtual void cancel(JobId job) = 0;

    virtual EngineSpeed speed() const noexcept = 0;
    /// In the current or last plan of several devices.
    virtual Effort effort() const noexcept = 0;
    /// To the other devices of the current or last plan of several.
    virtual std::vector<mesh::LinkReport> links() const = 0;
    virtual mesh::DataPlaneStats data_stats() const = 0;
    /// Jobs that are worth submitting at one time.
    virtual std::uint32_t parallel() const noexcept = 0;
    /// Where other devices' activations come in; 0: nowhere.
    virtual std::uint16_t data_port() const noexcept = 0;
};

}  // namespace shoal
