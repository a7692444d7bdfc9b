// The cluster's keys as its devices agree on them, while one or another of them changes them: pure
// functions.
#pragma once

#include <set>
#include <vector>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/messages/devices.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Whether its numbers are those of a cluster that somebody uses: who sends others wants that no
/// later change counts.
bool is_plausible(const mesh::messages::KeyRing& ring) noexcept;

/// What two devices know, together. Of two keys that were made at once both devices take the same
/// one, and the other is old.
mesh::messages::KeyRing merged(const mesh::messages::KeyRing& one,
                               const mesh::messages::KeyRing& other);

/// With another key, which `device` is not to have.
mesh::messages::KeyRing without(const mesh::messages::KeyRing& ring, const mesh::DeviceId& device,
                                const mesh::ClusterKey& key);
/// The device may have the key again; the same when it always might.
mesh::messages::KeyRing readmitting(const mesh::messages::KeyRing& ring,
                                    const mesh::DeviceId& device);

std::set<mesh::DeviceId> forgotten(const mesh::messages::KeyRing& ring);
std::vector<mesh::ClusterKey> keys_of(const mesh::messages::KeyRing& ring);

}  // namespace shoal
