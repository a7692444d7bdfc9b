// Plans that are loaded and not at work: whose memory they take, and who makes room. Pure; time is
// a parameter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "daemon/plan/plan_life.hpp"
#include "daemon/plan/situation.hpp"

namespace shoal {

/// One plan of a model at most. Externally synchronised.
class ParkedPlans {
  public:
    using Time = PlanLife::Time;

    bool empty() const noexcept { return plans_.empty(); }
    bool contains(const mesh::ModelHash& model) const noexcept;
    std::span<const PlanLife> plans() const noexcept { return plans_; }

    /// Requires: its devices hold it.
    void add(PlanLife plan);
    std::optional<PlanLife> take(const mesh::ModelHash& model);
    /// Those that are `which`.
    std::vector<PlanLife> take_if(const std::function<bool(const PlanLife&)>& which);

    /// The one that was not used for longest, of those that `may_go`, makes room for another.
    std::optional<PlanLife> displace(const std::function<bool(const PlanLife&)>& may_go, Time now);

    enum class Beside : std::uint8_t {
        parked,    ///< these plans
        displaced  ///< and those that were displaced twice lately, with a context of kRoomy
    };
    /// Takes from the devices' memory what a plan of `model` leaves to others.
    void reserve(std::vector<Candidate>& devices, const mesh::ModelHash& model, Beside beside,
                 Time now) const;
    void clear() noexcept {
        plans_.clear();
        displaced_.clear();
    }

    /// Positions with which a model is of use for most that people ask: rather than have fewer, it
    /// displaces others, and rather than displace others again and again, it has no more.
    static constexpr std::uint64_t kRoomy = 8192;

  private:
    struct Displaced {
        std::uint32_t times = 0;
        Time last;
        std::map<mesh::DeviceId, std::uint64_t> needs;  // bytes of each device
    };

    std::vector<PlanLife> plans_;  // the one used last is the last
    std::map<mesh::ModelHash, Displaced> displaced_;
};

}  // namespace shoal
