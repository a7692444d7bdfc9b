// What is known of the links between devices, and what plans take them for. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "daemon/planner/profile.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// A link when it was measured.
struct KnownLink {
    /// From the pair's first device to its second, and back. An exchange's time as it was measured,
    /// with that of its bytes.
    planner::Link there, back;
    std::string date;                           ///< UTC
    std::string first_address, second_address;  ///< of the devices then
    std::string transport, cipher;
    std::chrono::steady_clock::time_point measured{};
    bool operator==(const KnownLink&) const = default;
};

/// By pair of devices, the one with the lower id first.
using KnownLinks = std::map<std::pair<mesh::DeviceId, mesh::DeviceId>, KnownLink>;

/// Whether a link does what links do; figures of other devices pass this first.
bool plausible(const planner::Link& link) noexcept;

/// Takes down what was measured. Figures that differ by less than kLinkNoise from those known are
/// the same: plans do not change for noise. True when they are others, or new.
bool take_down(KnownLinks& links, const mesh::DeviceId& first, const mesh::DeviceId& second,
               KnownLink link);
inline constexpr double kLinkNoise = 1.25;

/// One way of a link as plans count it: the exchange without its bytes, whose time they add.
planner::Link planned(const KnownLink& link, bool there);

/// What a cluster of these devices, in this order, has for links: those that were measured, and for
/// others the median of these.
void set_links(planner::Cluster& cluster, std::span<const mesh::DeviceId> devices,
               const KnownLinks& known);

}  // namespace shoal
