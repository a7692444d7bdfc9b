// The root's jobs: which wait, which run, which are given up. Pure; time is a parameter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
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

/// Jobs in order of priority, then of arrival. Those of one model run at a time; which is for the
/// owner to say. Of these, clients take turns (Generate::client): whoever has the fewest running
/// comes first, of these who was served longest ago. What has tokens already goes before all
/// others. A job waits, or it runs; one that runs waits again when its plan is over or parked.
/// Externally synchronised.
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
    /// How often in a row one of its jobs was interrupted before it gave a token, at most.
    std::uint32_t interrupted(const mesh::ModelHash& model) const noexcept;
    /// Of the models but this one that jobs wait for, the one whose jobs were started longest ago;
    /// null: there is none.
    const KnownModel* next_model(const mesh::ModelHash& but) const noexcept;
    std::uint32_t running() const noexcept;
    std::uint32_t waiting() const noexcept {
        return static_cast<std::uint32_t>(jobs_.size()) - running();
    }
    std::vector<JobId> waiting_ids() const;

    /// Whether one more may wait where `limit` may in all. A client may have three times as many
    /// there as places stay free: alone it fills three quarters, and others find some. What has
    /// tokens already may in any case, and takes none.
    bool has_room(const Job& job, std::uint32_t limit) const;
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
    Next next(const mesh::ModelHash& model, std::uint32_t parallel, const LoadingTime& loading,
              Clock::time_point now);

    struct Place {
        JobId job = 0;
        std::size_t place = 0;  ///< 1: it is the next to start
        bool operator==(const Place&) const = default;
    };
    /// Jobs that wait, whose place is another than when this was called last. Those of the model at
    /// work come first.
    std::vector<Place> moved(const mesh::ModelHash& at_work);
    /// How long one that waits at a place may have to, as long as jobs took lately; nothing before
    /// one has ended.
    std::optional<Clock::duration> expected_wait(std::size_t place) const noexcept;

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
        std::size_t place = 0;              // as told last
        Clock::time_point started{};        // of one that runs
        std::size_t tokens_before = 0;      // when it was started
        std::uint32_t interrupted = 0;      // in a row before it got a token
        std::uint32_t strikes = 0;          // plans in a row that failed before it got a token
        std::set<mesh::DeviceId> struck{};  // who was blamed for those
    };

    std::uint64_t latest_turn(const mesh::ModelHash& model) const noexcept;
    template <typename Which>
    std::vector<JobId> drop_if(Which which);
    std::deque<Queued>::iterator find(JobId id);
    std::vector<Queued*> in_turn(const mesh::ModelHash& at_work);

    std::deque<Queued> jobs_;
    std::map<mesh::ModelHash, std::uint64_t> turns_;  // of models with jobs: when they had one
    std::map<std::uint64_t, std::uint64_t> served_;   // of clients with jobs: the latest start
    std::uint64_t starts_ = 0;                        // of either so far
    std::uint32_t parallel_ = 1;                      // of the latest next()
    Clock::duration service_{};  // from start to end, of jobs lately; 0: none has ended
};

/// What a client is told of its place: "3rd in the queue, about 12 s".
mesh::messages::Progress progress_of(std::size_t place,
                                     const std::optional<Clock::duration>& expected_wait);

}  // namespace shoal
