// The root's part: queue jobs, plan for the devices at hand, have the plan loaded, run the jobs
// under it, give each model its turn, and plan again when a device is lost.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/pieces/models.hpp"
#include "daemon/plan/failure_policy.hpp"
#include "daemon/plan/forecast.hpp"
#include "daemon/plan/job_queue.hpp"
#include "daemon/plan/parked_plans.hpp"
#include "daemon/plan/plan_life.hpp"
#include "daemon/plan/plan_links.hpp"
#include "daemon/plan/plan_member.hpp"
#include "daemon/plan/planner.hpp"
#include "daemon/plan/situation.hpp"
#include "daemon/plan/speed_watch.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// Brings together what decides: the queue (JobQueue), whom a plan is made for (choose) and who
/// computes what (plan_model), how far the plan is (PlanLife), and what follows when it fails
/// (FailurePolicy). Owned by the control thread. Does nothing until become_root().
class PlanRoot {
  public:
    PlanRoot(Loop& loop, Models& models, Engine& engine, const PlanRules& rules,
             std::unique_ptr<PlanLinks> links, PlanPatience patience = {});

    /// Other rules from now on. A plan that was made by the old ones ends before the next job.
    void set_rules(PlanRules rules);

    void become_root(mesh::Term term);
    /// Another device is root now, or none: jobs are forgotten, their requesters resubmit.
    void resign();

    /// False when the queue has no room for it. `load_only`: the job ends when its model is ready.
    [[nodiscard]] bool submit(Job job, const KnownModel& model, bool load_only);
    void cancel(JobId job);
    /// How long a model stays when nobody uses it, instead of what the settings say.
    void keep(const mesh::ModelHash& model, std::int32_t seconds);

    void on_member_joined(const mesh::DeviceId& device);
    void on_member_lost(const mesh::DeviceId& device);
    /// A member announced something new, perhaps whom it sees.
    void on_members_changed();
    void on_progress(const mesh::DeviceId& from, const mesh::messages::PlanProgress& progress);
    void on_loaded(const mesh::DeviceId& from, const mesh::messages::PlanLoaded& loaded);
    void on_plan_end(const mesh::DeviceId& from, const mesh::messages::PlanEnd& end);
    /// The cluster's links are known, and some are others than they were.
    void on_links_measured();
    /// To be called every few seconds.
    void compare_speeds();
    /// From this device's engine.
    void on_started(mesh::PlanId plan);
    void on_parked(mesh::PlanId plan);
    void on_job_event(JobId job, const mesh::messages::Event& event);

    /// What plans of this model for the devices at hand would do now.
    Forecast forecast(const mesh::ModelHash& model) const;
    PlanLife::State state() const noexcept { return plan_.state(); }
    std::uint32_t queued() const noexcept { return jobs_.waiting(); }
    /// How long one that came now would wait; nothing: that is not known.
    std::optional<Clock::duration> expected_wait() const noexcept {
        return jobs_.expected_wait(jobs_.waiting() + std::size_t{1});
    }
    /// Those that the engine has; not all of them run.
    std::uint32_t submitted() const noexcept { return jobs_.running(); }
    /// Nothing is computed, nor loaded.
    bool idle() const noexcept {
        return jobs_.empty() && (plan_.state() == PlanLife::State::none ||
                                 plan_.state() == PlanLife::State::running);
    }
    /// Jobs without a final event, queued or running.
    std::size_t pending() const noexcept { return jobs_.size(); }
    const std::map<mesh::DeviceId, PlanDeviceState>& devices() const noexcept {
        return plan_.devices();
    }
    /// What is in the devices' memory, the model at work first.
    std::vector<mesh::messages::LoadedModel> loaded() const;

  private:
    // From the queue to a plan that runs its jobs.
    void advance();
    bool wait_to_settle();
    void begin(const KnownModel& model);
    void offer(const OpenModel& model);
    bool files_came(const Choice& choice) const;
    bool step_aside(const OpenModel& model, const std::string& why);
    void plan_ahead();
    void watch_loading();
    void dispatch();
    void end_plan();
    void reshape(PlanCause cause) {
        reshape_ = true;
        if (plan_.offered()) next_cause_ = cause;
    }
    void end(const PlanLife& plan);
    void tell(const PlanLife& plan, const mesh::messages::PlanMessage& message);
    void plan_over();

    // Models that take turns, and what of them stays in memory (plan_root_models.cpp).
    KnownModel whose_turn();
    void park_plan();
    bool start_again(const KnownModel& model);
    Planned plan_beside_others(const OpenModel& model, const Situation& taking);
    Situation beside_parked(Choice choice) const;
    void end_parked(std::vector<PlanLife> plans);
    bool pinned(const mesh::ModelHash& model) const;
    std::optional<Loop::Time> kept_until(const PlanLife& plan) const;
    void unload_what_is_due();

    // What the devices come to.
    Situation situation(const mesh::ModelHash& model) const;
    Situation situation() const { return situation(plan_.model().hash); }
    void review_soon();
    void review();
    void show_left_out(const Choice& choice);

    // Failures.
    void conclude();
    void plan_failed(const std::string& error, const std::vector<mesh::DeviceId>& blamed);
    void strike_jobs(const std::string& error, const std::vector<mesh::DeviceId>& blamed);
    void fail_jobs(const std::string& error, mesh::messages::ErrorCode code);
    void fail(const std::vector<JobId>& jobs, mesh::messages::ErrorCode code,
              const std::string& error);
    void tell_waiting(const mesh::messages::Progress& progress);
    void tell_places();

    Loop& loop_;
    Models& models_;
    Engine& engine_;
    PlanRules rules_;
    const std::unique_ptr<PlanLinks> links_;
    const mesh::DeviceId self_;
    const PlanPatience patience_;

    std::optional<mesh::Term> term_;  // while we are root
    Loop::Time changed_;              // elected, or joined by a device
    std::uint32_t next_plan_ = 1;
    PlanCause next_cause_ = PlanCause::first;
    JobQueue jobs_;
    PlanLife plan_;  // the one that is made or works
    ParkedPlans parked_;
    Loop::Time turn_began_;
    std::map<mesh::ModelHash, std::int32_t> keep_;  // seconds, where somebody said
    FailurePolicy failures_;
    SpeedWatch speeds_;
    bool reshape_ = false;     // the plan does not fit speeds, links or rules any more
    char links_reviewed_ = 0;  // its address names those who ask for a model to look at links
    LeftOutDevices no_room_;   // by the latest plan
    LeftOutDevices left_out_;  // as shown
    bool stepped_aside_ = false;
    Timer settling_, review_due_, retry_;
    Timer turn_due_, unload_due_;
    Timer stepping_aside_;               // while another one may take over
    Timer places_told_;                  // lately
    Timer verdict_due_, loading_watch_;  // of the plan at hand
};

}  // namespace shoal
