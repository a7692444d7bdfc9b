// The engine: the thread that holds this device's slice and runs its part of every step.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "daemon/generation.hpp"
#include "daemon/plan_spec.hpp"
#include "kernels/kernels.hpp"

namespace shoal::mesh {
class DataPlane;
}

namespace shoal {

/// What a loaded plan takes on this device.
struct HeldBytes {
    std::uint64_t weights = 0;
    std::uint64_t planned_weights = 0;  ///< what the plan said
    std::uint64_t kv_cache = 0;         ///< capacity; taken as positions are used
    std::uint64_t buffers = 0;
};

/// Speeds of the current or last generation.
struct EngineSpeed {
    double prefill_tokens_per_second = 0;
    double decode_tokens_per_second = 0;
    std::uint64_t generated_tokens = 0;  ///< since the start
    std::uint32_t running = 0;
};

/// Thread-safe. Carries out one plan at a time; commands of another plan are ignored.
class Engine {
  public:
    /// Called on the engine's thread; must return quickly.
    struct Callbacks {
        std::function<void(mesh::PlanId, std::uint64_t done, std::uint64_t total)> loading;
        std::function<void(mesh::PlanId, HeldBytes)> loaded;
        std::function<void(mesh::PlanId)> started;
        /// The plan is over; every event of its jobs came before. `error` is empty when it was
        /// asked to end. Jobs without a final event are the caller's to submit again.
        std::function<void(mesh::PlanId, std::string error)> ended;
        std::function<void(JobId, const mesh::wire::Event&)> event;
    };

    /// Makes the data plane; called on the engine's thread, which owns it. Null: every plan has
    /// one device.
    using MakeDataPlane = std::function<std::unique_ptr<mesh::DataPlane>()>;

    struct Options {
        std::uint32_t threads = 1;
        std::vector<std::uint32_t> cpus;                 ///< of these threads; empty: any
        std::uint32_t parallel = 4;                      ///< jobs run together
        std::uint32_t max_prompt_tokens = 0;             ///< 0: the context is the limit
        std::chrono::milliseconds join_timeout{10000};   ///< for all devices to connect
        std::chrono::milliseconds silence_limit{10000};  ///< of a device within a step
    };

    /// Throws what `make_data_plane` throws.
    Engine(const kernels::Table& kernels, const Options& options,
           const MakeDataPlane& make_data_plane, Callbacks callbacks);
    /// Ends the plan.
    ~Engine();

    /// Load a slice. Ends the plan before it.
    void load(PlanSpec spec);
    /// Everyone has loaded: join the others and serve.
    void start(mesh::PlanId plan);
    /// Leave a plan: abandons the step that is under way.
    void end(mesh::PlanId plan);
    /// A job for the current plan, on its root, once it has started. Jobs run in order, some at
    /// a time. One that comes when the plan is over already is forgotten.
    void submit(Job job);
    /// The job's final event comes soon; unknown ones are ignored.
    void cancel(JobId job);

    EngineSpeed speed() const noexcept;
    /// Jobs that are worth submitting at one time.
    std::uint32_t parallel() const noexcept { return options_.parallel; }
    /// Where the data plane listens; 0 without one.
    std::uint16_t data_port() const noexcept { return data_port_; }

  private:
    struct Loaded;

    void main(const std::stop_token& stop);
    void carry_out(const PlanSpec& spec, const std::stop_token& ending);
    std::unique_ptr<Loaded> load_slice(const PlanSpec& spec, const std::stop_token& ending);
    bool wait_for_start(mesh::PlanId plan, const std::stop_token& ending);
    std::string serve(const PlanSpec& spec, Loaded& loaded, const std::stop_token& ending);

    const kernels::Table& kernels_;
    const Options options_;
    const Callbacks callbacks_;
    std::uint16_t data_port_ = 0;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    // Guarded by mutex_:
    std::optional<PlanSpec> next_;         // to be loaded after the current plan
    std::optional<mesh::PlanId> current_;  // being carried out
    std::stop_source ending_;              // of the current plan
    std::optional<mesh::PlanId> start_;    // may join
    std::deque<Job> inbox_;                // jobs that the root loop has not taken
    std::set<JobId> cancelled_;

    std::atomic<double> prefill_speed_{0};
    std::atomic<double> decode_speed_{0};
    std::atomic<std::uint64_t> generated_{0};
    std::atomic<std::uint32_t> running_{0};

    // Owned by the engine's thread.
    std::unique_ptr<mesh::DataPlane> data_plane_;
    std::unique_ptr<exec::ThreadPool> pool_;

    std::jthread thread_;  // last: it stops before what it uses goes
};

}  // namespace shoal
