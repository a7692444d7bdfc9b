// What follows when a plan fails: who is to blame, when the next one is made, who leads it. Pure;
// time is a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/plan/exclusions.hpp"
#include "daemon/plan/situation.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

struct PlanPatience {
    /// How long further reports of a failed plan are waited for: a device that failed itself says
    /// so soon.
    std::chrono::milliseconds reports{300};
    /// The same when somebody is missed, who is perhaps about to be lost.
    std::chrono::milliseconds missing{1500};
    /// The pause before the next plan when nobody is to blame.
    std::chrono::milliseconds retry{300};
    /// A device that loads and says nothing new for longer does not come on.
    std::chrono::milliseconds stall{20'000};
};

/// A member's word that a plan is over.
struct Report {
    mesh::DeviceId from;
    mesh::messages::PlanEnd end;
};
/// Pairs of devices at hand that the reports name.
std::vector<Pair> pairs_of(std::span<const Report> reports, std::span<const Candidate> devices);

struct Blame {
    mesh::DeviceId device;
    std::string reason;
};
/// Who is to blame for a plan's end: devices that say it of themselves; or else, of two that miss
/// each other, the one that the others miss most (smaller_side); or else nobody.
std::vector<Blame> judge(std::span<const Report> reports, std::span<const Candidate> devices);

/// What a root does about failures. Externally synchronised.
class FailurePolicy {
  public:
    using Time = Exclusions::Time;
    using Namer = std::function<std::string(const mesh::DeviceId&)>;

    /// Plans that may fail in a row, by nobody's fault and without a job, before the jobs that
    /// want them fail.
    static constexpr std::uint32_t kMaxFailures = 4;
    /// A root that failed this often, tokens or not between, lets another lead; a fault is
    /// forgotten as other devices' are.
    static constexpr std::uint32_t kMaxOwnFaults = 2;

    FailurePolicy(const mesh::DeviceId& self, const PlanPatience& patience)
        : self_(self), patience_(patience) {}

    const Exclusions& exclusions() const noexcept { return exclusions_; }
    void joined(const mesh::DeviceId& device, Time now) { exclusions_.joined(device, now); }
    void lost(const mesh::DeviceId& device, Time now) { exclusions_.lost(device, now); }

    /// A report of the plan at hand. When the verdict is due: the first report sets the time, one
    /// that is sure of a fault ends the wait.
    Time report(const mesh::DeviceId& from, mesh::messages::PlanEnd end, Time now);
    /// The plan at hand is failing.
    bool reported() const noexcept { return !reports_.empty(); }

    struct Verdict {
        std::string error;
        std::vector<mesh::DeviceId> blamed;  ///< without ourselves
        std::optional<std::string> unfit;    ///< why another should lead
    };
    /// Leaves out whom the reports are to blame on. Requires: reported().
    Verdict conclude(std::span<const Candidate> devices, const Namer& name, Time now);

    /// A plan failed. The pause before the next one; nothing when its jobs fail. One that failed
    /// under jobs counts against these (JobQueue::strike), not against all that want the model.
    std::optional<std::chrono::milliseconds> next_try(bool somebody_is_blamed,
                                                      bool under_jobs) noexcept;

    /// The plan at hand is over, whatever the reason: its reports say nothing of the next.
    void plan_over() noexcept { reports_.clear(); }
    /// The plan does what it is for.
    void plan_works() noexcept { failures_ = 0; }
    /// It was not these devices' fault, nor ours.
    void pardon(const std::set<mesh::DeviceId>& devices);
    /// No longer root.
    void clear();

  private:
    const mesh::DeviceId self_;
    const PlanPatience patience_;
    Exclusions exclusions_;
    std::vector<Report> reports_;
    Time verdict_at_;
    std::uint32_t failures_ = 0;  // in a row, by nobody's fault
};

}  // namespace shoal
