// Who is root: a pure state machine. It has no clock, socket or thread; time is a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "mesh/membership/preference.hpp"
#include "mesh/wire/control.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::membership {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

/// Delays of an election. All run from the moment a device is without a root.
struct ElectionConfig {
    milliseconds gather{300};    ///< after the start: time to find the others
    milliseconds regather{100};  ///< after losing a root: the others are known already
    milliseconds settle{150};    ///< after the latest device joined
    milliseconds lone{1000};     ///< a device that sees nobody leads itself after this
    milliseconds stagger{300};   ///< further wait per device that is preferred to this one
    /// A device of higher priority takes over from a root that both have known for this long.
    milliseconds takeover{2000};
    /// How long a device without a root leaves the election to members that follow a root which
    /// it cannot see.
    milliseconds defer{5000};
    milliseconds retry{1000};  ///< after the term counter could not be stored
};

/// The election of one device. It sees the members' ElectionState in their heartbeats and puts
/// its own into ours; there are no other messages.
///
/// A claim is a state whose term is the sender's own. Of two claims the one that somebody else
/// follows is stronger, then the higher term (mesh/PROTOCOL.md, Election). A device without a
/// root adopts the strongest claim; without any, the preferred device claims a new term.
class Election {
  public:
    /// Stores a counter durably and says whether it did; called before a claim is made.
    using Persist = std::function<bool(std::uint64_t counter)>;

    Election(Candidate self, ElectionConfig config, std::uint64_t stored_counter, Persist persist,
             Time now);

    /// A member joined, or its description changed.
    void seen(const Candidate& candidate, Time now);
    /// A member is gone.
    void lost(const DeviceId& id, Time now);
    /// A member's state as of now. Requires: seen() before; ignored otherwise.
    void heard(const DeviceId& id, const wire::ElectionState& state, Time now);
    /// Our own description changed.
    void describe(const Candidate& self, Time now);
    void tick(Time now);

    std::optional<DeviceId> root() const noexcept;
    /// The adopted term; after losing a root the last one.
    Term term() const noexcept { return term_; }
    /// What our heartbeats say.
    wire::ElectionState state() const noexcept;
    /// When tick() has something to do; Time::max() when only a message can change anything.
    Time next_deadline() const;

  private:
    struct Member {
        Candidate candidate;
        wire::ElectionState state;
        Time since;
    };
    struct Claim {
        bool followed = false;
        Term term;
        auto operator<=>(const Claim&) const = default;
    };

    bool leads() const noexcept { return has_root_ && term_.candidate == self_.id; }
    std::uint32_t followers() const noexcept;
    const Member* strongest_claimant() const noexcept;
    static Claim claim_of(const Member& member) noexcept;
    void evaluate(Time now);
    void consider(const Member& claimant, Time now);
    bool must_hand_over_to(const Member& claimant, Time now) const noexcept;
    void adopt(const Term& term) noexcept;
    void drop_root(Time now) noexcept;
    Time claim_time() const;
    Time takeover_time() const;
    void claim(Time now);

    Candidate self_;
    ElectionConfig config_;
    Persist persist_;
    std::map<DeviceId, Member> members_;
    std::uint64_t counter_;  ///< the highest ever stored or seen
    bool has_root_ = false;
    Term term_;
    Time rootless_since_;
    Time latest_join_;
    Time retry_at_;
    Time takeover_until_;
    bool had_root_ = false;
};

}  // namespace shoal::mesh::membership
