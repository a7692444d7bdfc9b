// Profiles of devices, as they travel and as plans use them. Pure.
#pragma once

#include <optional>

#include "daemon/planner/profile.hpp"
#include "mesh/messages/device_profile.hpp"
#include "mesh/wire/description.hpp"

namespace shoal {

mesh::messages::DeviceProfile message_of(const planner::DeviceProfile& profile) noexcept;

/// Nothing when no device does that (planner::plausible).
std::optional<planner::DeviceProfile> profile_of(
    const mesh::messages::DeviceProfile& message) noexcept;

/// What a device announces, whatever it sent; else what its speed lets guess. Nothing when it does
/// not tell that either.
std::optional<planner::DeviceProfile> profile_of(const mesh::DeviceDescription& description);

}  // namespace shoal
