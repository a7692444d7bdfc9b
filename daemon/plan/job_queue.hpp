// The root's jobs: which wait, which run, which are given up. Pure; time is a parameter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/engine/generation.hpp"
#include "daemon/pieces/models.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// From when to when a plan was opened and loaded.
struct LoadingTime {
    Clock::time_point begun, loaded;
};

/// Jobs in order of arrival. Those of one model run at a time; which is for the owner to say. A job
/// waits, or it runs; one that runs waits again when its plan is over or parked. Externally
/// synchronised.
class JobQueue {
  public:
    /// A job that met so many failing plans in a row runs alone, so that the one to blame is found.
    static constexpr std::uint32_t kStrikesAlone = 2;
    /// One that met so many, and has no token to show for them, is given up.
    static constexpr std::uint32_t kMaxStrikes = 4;

    bool empty() const noexcept { return jobs_.empty(); }
    std::size_t size() const noexcept { return jobs_.size(); }
    /// Some job of this model waits or runs.
    bool wants(const mesh::ModelHash& model) const noexcept;
    /// Of the models but this one that jobs wait for, the one whose jobs were started longest ago;
    /// null: there is none.
    const KnownModel* next_model(const mesh::ModelHash& but) const noexcept;
    std::uint32_t running() const noexcept;
    std::uint32_t waiting() const noexcept {
        return static_cast<std::uint32_t>(jobs_.size()) - running();
    }
    std::vector<JobId> waiting_ids() const;

    /// `load_only`: the job is over when its model is ready.
    void add(Job job, const KnownModel& model, bool load_only);

    enum class Cancelled { unknown, dropped, running };
    /// One that runs stays until its last event, or until its plan is over.
    Cancelled cancel(JobId id);

    struct Next {
        std::vector<Job> start;   ///< they run from now on
        std::vector<Job> loaded;  ///< wanted the model alone; they wait for record() of their end
    };
    /// What a plan of `model` that runs takes now, so that `parallel` jobs at most run together.
    Next next(const mesh::ModelHash& model, std::uint32_t parallel, const LoadingTime& loading);

    /// Takes down what a job gave; the final event ends it. False: there is no such job.
    bool record(JobId id, const mesh::messages::Event& event, Clock::time_point now);

    struct GivenUp {
        std::vector<JobId> jobs;
        std::set<mesh::DeviceId> devices;  ///< that were blamed for plans under which these ran
    };
    /// The plan failed under the jobs that run, by the fault of these devices.
    GivenUp strike(std::span<const mesh::DeviceId> blamed);

    /// The plan is over: none runs. Those that are dropped, because they were cancelled.
    std::vector<JobId> plan_over();
    /// Drops the jobs of a model.
    std::vector<JobId> drop(const mesh::ModelHash& model);
    void clear() noexcept { jobs_.clear(); }

  private:
    struct Queued {
        Job job;
        KnownModel model;
        bool load_only = false;
        bool running = false;
        bool cancelled = false;
        std::size_t tokens_before = 0;      // when it was started
        std::uint32_t strikes = 0;          // plans in a row that failed before it got a token
        std::set<mesh::DeviceId> struck{};  // who was blamed for those
    };

    std::uint64_t served(const mesh::ModelHash& model) const noexcept;
    template <typename Which>
    std::vector<JobId> drop_if(Which which);
    std::deque<Queued>::iterator find(JobId id);

    std::deque<Queued> jobs_;
    std::map<mesh::ModelHash, std::uint64_t> served_;  // when jobs were started, counting
    std::uint64_t serves_ = 0;
};

}  // namespace shoal
