// The datagrams by which devices of one cluster find each other (mesh/PROTOCOL.md, Beacons).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mesh/wire/codec.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::wire {

inline constexpr std::uint8_t kBeaconVersion = 1;
inline constexpr std::size_t kBeaconBytes = 116;

/// A number used once; whoever quotes it has heard us just now.
using Nonce = std::array<std::uint8_t, 16>;
using BeaconKey = std::array<std::uint8_t, 32>;
using BeaconBytes = std::array<std::byte, kBeaconBytes>;

/// Announce asks everyone to answer. An answer quotes the announcement's nonce, which proves to
/// the asker that the answer is fresh. A confirmation quotes the answer's nonce in turn.
struct Beacon {
    enum class Kind : std::uint8_t { announce = 1, answer = 2, confirm = 3 };
    Kind kind = Kind::announce;
    std::uint16_t control_port = 0;  ///< TCP port of the sender's control socket
    std::uint64_t instance = 0;      ///< random, chosen at each start of the sender
    std::uint32_t age = 0;           ///< seconds since that start
    PublicKey public_key{};          ///< the sender's
    Nonce nonce{};                   ///< to be quoted; unused in a confirmation
    Nonce echo{};                    ///< the nonce quoted; zero in an announcement
    bool operator==(const Beacon&) const = default;
};

/// The datagram, with its MAC under the cluster's beacon key.
BeaconBytes encode(const Beacon& beacon, const BeaconKey& key) noexcept;

/// The fields, which nobody has vouched for yet.
DecodeResult<Beacon> decode_beacon(std::span<const std::byte> datagram) noexcept;

/// True when the datagram was made by a holder of the cluster key. In constant time.
/// Requires: decode_beacon accepted the datagram.
bool is_authentic(std::span<const std::byte> datagram, const BeaconKey& key) noexcept;

}  // namespace shoal::mesh::wire
