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

#include "daemon/engine/engine.hpp"
#include "daemon/engine/kv_files.hpp"
#include "daemon/exec/collective.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/loop/worker.hpp"
#include "kernels/kernels.hpp"

namespace shoal::mesh {
class DataPlane;
}

namespace shoal {

class Batch;
struct BatchCounts;

class EngineThread final : public Engine {
  public:
    /// Makes the data plane; called on the engine's thread, which owns it. Null: every plan has
    /// one device.
    using MakeDataPlane = std::function<std::unique_ptr<mesh::DataPlane>()>;

    struct Options {
        std::uint32_t threads = 1;
        std::vector<std::uint32_t> cpus;                 ///< of these threads; empty: any
        std::uint32_t parallel = 16;                     ///< jobs run together
        std::uint32_t max_prompt_tokens = 0;             ///< 0: the context is the limit
        std::chrono::milliseconds join_timeout{10000};   ///< for all devices to connect
        std::chrono::milliseconds silence_limit{10000};  ///< of a device within a step
        /// Where blocks of KV caches are kept, for this version of the program alone. No folder:
        /// nowhere.
        KvFiles::Options files{};
        std::string version{};
        std::chrono::milliseconds keep_after{2000};  ///< when nothing was computed for so long
    };

    /// Throws what `make_data_plane` throws.
    EngineThread(const kernels::Table& kernels, const Options& options,
                 const MakeDataPlane& make_data_plane, EngineEvents events);
    /// Ends the plan.
    ~EngineThread() override;

    void load(PlanSpec spec) override;
    void start(mesh::PlanId plan, std::uint32_t run, bool keeps_blocks) override;
    void park(mesh::PlanId plan) override;
    void end(mesh::PlanId plan) override;
    void submit(Job job) override;
    void cancel(JobId job) override;

    EngineSpeed speed() const noexcept override;
    Effort effort() const noexcept override;
    std::vector<mesh::LinkReport> links() const override;
    mesh::DataPlaneStats data_stats() const override;
    std::uint32_t parallel() const noexcept override { return options_.parallel; }
    std::uint16_t data_port() const noexcept override { return data_port_; }

  private:
    struct Held;
    struct Start {
        mesh::PlanId plan;
        std::uint32_t run;
        bool keeps_blocks;
    };

    void main(const std::stop_token& stop);
    void load_slice(PlanSpec spec, const std::stop_token& ending);
    std::unique_ptr<Held> make_held(PlanSpec spec, const std::stop_token& ending);
    void carry_out(const Start& start, const std::stop_token& ending);
    PlanOutcome serve(Held& held, const Start& start, const std::stop_token& ending, bool& parked);
    exec::Status lead(Held& held, SliceFiles* files, exec::Collective& collective,
                      const std::stop_token& ending);
    void count(const Batch& batch, BatchCounts& counted);
    std::vector<std::unique_ptr<Held>>::iterator find(mesh::PlanId plan);
    void let_go(mesh::PlanId plan, PlanOutcome outcome);
    void tell_end(mesh::PlanId plan, PlanOutcome outcome);
    void forget_jobs();

    const kernels::Table& kernels_;
    const Options options_;
    const EngineEvents events_;
    std::uint16_t data_port_ = 0;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    // Guarded by mutex_:
    std::vector<std::unique_ptr<Held>> held_;  // that are loaded
    std::optional<PlanSpec> next_;             // to be loaded
    std::optional<Start> start_;               // to be carried out then
    std::optional<mesh::PlanId> current_;      // being loaded or served
    std::stop_source ending_;                  // of the current plan
    bool park_ = false;                        // the current plan
    std::deque<Job> inbox_;                    // jobs that the root loop has not taken
    std::set<JobId> cancelled_;
    mesh::PlanId effort_plan_;  // whose steps effort_ has

    EffortCounter effort_;
    std::atomic<double> prefill_speed_{0};
    std::atomic<double> decode_speed_{0};
    std::atomic<std::uint64_t> generated_{0}, preemptions_{0}, prompt_tokens_{0}, cached_tokens_{0};
    std::atomic<std::uint32_t> running_{0};
    std::atomic<double> cache_use_{0};

    // Owned by the engine's thread.
    std::unique_ptr<mesh::DataPlane> data_plane_;
    std::unique_ptr<exec::ThreadPool> pool_;
    std::optional<KvFiles> files_;

    Worker prompts_{"prompts"};  // begins generations for the engine's thread
    std::jthread thread_;        // last: it stops before what it uses goes
};

}  // namespace shoal
