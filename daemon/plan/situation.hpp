// What a plan is made from: the devices at hand and what is known of them; and which of them it is
// made for. Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/plan/link_book.hpp"
#include "daemon/planner/profile.hpp"
#include "mesh/node.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Why plans go on without a device, and what to do about it.
struct LeftOut {
    std::string reason, remedy;
    bool spare = false;  ///< nothing is wrong: the others are quicker by themselves
    bool operator==(const LeftOut&) const = default;
};
using LeftOutDevices = std::map<mesh::DeviceId, LeftOut>;

/// Two devices of which one does not hear the other.
using Pair = std::pair<mesh::DeviceId, mesh::DeviceId>;

/// A device that may take part.
struct Candidate {
    mesh::Member member;
    std::string name;                    ///< what people call it
    double slower = 1;                   ///< so many times slower than it said (SpeedWatch)
    std::optional<std::string> fault{};  ///< why it is left out for now (Exclusions)
    bool suspicious = false;             ///< it failed not long ago; it may take part again
    /// Measured, or guessed from its speed; nothing: it does not tell. Always plausible.
    std::optional<planner::DeviceProfile> profile{};
    bool whole_file = false;  ///< it has the file of the plan's model
};

/// All that a plan depends on but the model and the settings. What comes to count for it (what each
/// device is good for) belongs here.
struct Situation {
    std::vector<Candidate> devices;      ///< that follow us; the first is this one
    std::vector<Pair> apart;             ///< of them, without a connection
    std::set<mesh::DeviceId> planned{};  ///< that take part in the plan at hand
    KnownLinks links{};                  ///< as far as they were measured
};

/// Whom a plan is made for, and why not the others.
struct Choice {
    Situation taking;  ///< no pair of these devices is apart
    LeftOutDevices left_out;
};
Choice choose(Situation situation);

/// Whether a plan for this choice would be for the same devices as one that was made for `before`.
/// Devices on probation are new ones only where `with_suspicious`.
bool same_devices(const Choice& choice, const std::set<mesh::DeviceId>& before,
                  bool with_suspicious);

/// Those to leave out so that no pair is left whole, fewest first: again and again the device of
/// most pairs; of two the one that is not in `kept`, then the slower. devices[0] stays.
std::vector<mesh::DeviceId> smaller_side(std::span<const Candidate> devices,
                                         std::vector<Pair> apart,
                                         const std::set<mesh::DeviceId>& kept);

}  // namespace shoal
