// What a KEY command says under the cover of its connection: how to open a sender's frames.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "mesh/exchange/zmtp/noise.hpp"
#include "mesh/exchange/zmtp/seal.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::exchange::zmtp {

struct KeyGrant {
    SealKey key{};              ///< of the sender's frames in one plan
    std::uint64_t counter = 0;  ///< the first that is valid
};

/// The bytes are secret; wiping them is the caller's.
Bytes encode(const KeyGrant& grant, const PlanId& plan);
/// Nothing when it is malformed or of another plan.
std::optional<KeyGrant> decode_key_grant(std::span<const std::byte> bytes, const PlanId& plan);

}  // namespace shoal::mesh::exchange::zmtp
