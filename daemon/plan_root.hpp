// The root's part: queue jobs, plan for the devices at hand, have the plan loaded, run the jobs
// under it, and plan again when a device is lost.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "daemon/control_loop.hpp"
#include "daemon/engine.hpp"
#include "daemon/model_provider.hpp"
#include "mesh/node.hpp"
#include "mesh/wire/plan.hpp"

namespace shoal {

/// A model that some device of the cluster holds.
struct KnownModel {
    mesh::ModelHash hash;
    std::string name;
    std::uint64_t file_bytes = 0;
};

/// What a device of the plan reported.
struct PlanDeviceState {
    bool loaded = false;
    std::uint64_t done = 0, total = 0;  ///< of fetching or loading
    std::string what;
    HeldBytes held;
};

/// Owned by the control thread. Does nothing until become_root().
class PlanRoot {
  public:
    struct Links {
        mesh::DeviceId self;
        std::function<void(const mesh::DeviceId&, const mesh::wire::PlanMessage&)> send;
        std::function<std::vector<mesh::Member>()> members;  ///< that follow us, ourselves first
        std::function<bool()> settled;  ///< every device that is alive follows us
        std::function<void(JobId, const mesh::wire::Event&)> emit;
    };

    PlanRoot(ControlLoop& loop, ModelProvider& models, Engine& engine,
             const config::ModelSettings& settings, Links links);

    void become_root(mesh::Term term);
    /// Another device is root now, or none: jobs are forgotten, their requesters resubmit.
    void resign();

    /// False when the queue is full. `load_only`: the job ends when its model is ready.
    [[nodiscard]] bool submit(Job job, const KnownModel& model, bool load_only);
    void cancel(JobId job);

    void on_member_lost(const mesh::DeviceId& device);
    void on_progress(const mesh::DeviceId& from, const mesh::wire::PlanProgress& progress);
    void on_loaded(const mesh::DeviceId& from, const mesh::wire::PlanLoaded& loaded);
    void on_plan_end(const mesh::DeviceId& from, const mesh::wire::PlanEnd& end);
    /// From this device's engine.
    void on_started(mesh::PlanId plan);
    void on_job_event(JobId job, const mesh::wire::Event& event);

    std::uint32_t queued() const noexcept;
    const std::map<mesh::DeviceId, PlanDeviceState>& devices() const noexcept { return devices_; }

  private:
    enum class State { none, opening, loading, starting, running };
    struct QueuedJob {
        Job job;
        KnownModel model;
        bool load_only = false;
        bool dispatched = false;
        bool cancelled = false;
    };

    void advance();
    bool wait_to_settle();
    void begin(const KnownModel& model);
    void offer(const OpenModel& model);
    std::vector<mesh::Member> ranked_members() const;
    void dispatch();
    void end_plan();
    void drop_cancelled();
    void plan_failed(const std::string& error, bool device_lost);
    void fail_jobs(const std::string& error, mesh::wire::ErrorCode code);
    void tell_waiting(const mesh::wire::Progress& progress);
    bool same_devices() const;
    std::size_t dispatched() const noexcept;

    ControlLoop& loop_;
    ModelProvider& models_;
    Engine& engine_;
    const config::ModelSettings settings_;
    const Links links_;

    std::optional<mesh::Term> term_;  // while we are root
    ControlLoop::Clock::time_point elected_;
    bool settling_ = false;  // a look at who follows us is under way
    std::uint32_t next_plan_ = 1;
    State state_ = State::none;
    KnownModel model_;             // of the current plan
    mesh::wire::PlanOffer offer_;  // from loading on
    std::map<mesh::DeviceId, PlanDeviceState> devices_;
    std::deque<QueuedJob> jobs_;  // in order of arrival
    std::uint32_t failures_ = 0;  // plans in a row under which no job got anywhere
    ControlLoop::Clock::time_point begun_;
    double load_seconds_ = 0;
};

}  // namespace shoal
