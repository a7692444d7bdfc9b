// The messages of the control channel (mesh/PROTOCOL.md, Control channel). The sender is never a
// field: it is whoever the connection's key belongs to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mesh/wire/codec.hpp"
#include "mesh/wire/description.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::wire {

inline constexpr std::uint8_t kControlVersion = 1;

/// Limits; a longer field is refused before anything is allocated for it.
inline constexpr std::size_t kMaxControlBytes = (1u << 20) + (1u << 16);
inline constexpr std::uint16_t kMaxNameBytes = 255;
inline constexpr std::uint16_t kMaxCpuBytes = 64;
inline constexpr std::uint16_t kMaxVersionBytes = 64;
inline constexpr std::uint16_t kMaxEndpointBytes = 255;
inline constexpr std::uint32_t kMaxModelsBytes = 1u << 20;
inline constexpr std::uint16_t kMaxHostBytes = 64;
inline constexpr std::uint16_t kMaxSightings = 256;
/// No cluster elects so often; a larger counter would leave no room for the next one.
inline constexpr std::uint64_t kMaxTermCounter = std::uint64_t{1} << 48;
/// An application message, of any lane.
inline constexpr std::size_t kMaxApplicationBytes = (16u << 20) + (1u << 16);

/// A conversation between two devices: each side draws a random number for it, and a message that
/// does not quote the receiver's belongs to an earlier conversation. Never 0.
using Session = std::uint64_t;

/// Counts the descriptions of one process, from 1; 0: none.
using Revision = std::uint32_t;

/// What a device holds to be true about the root.
struct ElectionState {
    Term term;                    ///< adopted; {0, {}} when there is no root
    std::uint32_t followers = 0;  ///< if the sender leads: other devices that adopted its term
    bool operator==(const ElectionState&) const = default;
};

/// Opens a conversation, and repeats until the other side is known to have heard it.
struct Hello {
    Session from = 0, to = 0;  ///< to: 0 when the receiver's session is not known yet
    ElectionState election;
    DeviceDescription description;
    std::uint64_t instance = 0;  ///< as in the sender's beacons: another process may have its key
    Revision revision = 0;       ///< of the description
    bool operator==(const Hello&) const = default;
};

/// "I am here". Sent every heartbeat interval and at once when `election` changes.
struct Heartbeat {
    Session to = 0;
    std::uint64_t clock_us = 0;       ///< sender's clock, opaque to everyone else
    std::uint64_t echo_clock_us = 0;  ///< the receiver's latest clock_us; 0: none yet
    std::uint32_t echo_delay_us = 0;  ///< how long the sender has held it
    ElectionState election;
    Revision known = 0;  ///< of the receiver's description, the latest that came
    bool operator==(const Heartbeat&) const = default;
};

/// The sender's description changed.
struct Describe {
    Session to = 0;
    DeviceDescription description;
    Revision revision = 0;
    bool operator==(const Describe&) const = default;
};

/// The sender goes away.
struct Leave {
    Session to = 0;
    bool operator==(const Leave&) const = default;
};

/// Where a device answers beacons.
struct Sighting {
    DeviceId id;
    std::string host;  ///< numeric address
    std::uint16_t port = 0;
    bool operator==(const Sighting&) const = default;
};

/// The members that the sender sees, so that devices which beacons do not reach find each other.
struct Sightings {
    Session to = 0;
    std::vector<Sighting> devices;
    bool operator==(const Sightings&) const = default;
};

/// Connections between two devices. Messages on one lane keep their order.
enum class Lane : std::uint8_t {
    membership = 0,  ///< the messages above
    small = 1,       ///< application messages up to kSmallMessageBytes
    bulk = 2,        ///< larger ones
};
inline constexpr std::size_t kLanes = 3;
inline constexpr std::size_t kSmallMessageBytes = 64u << 10;

/// An application message. `body` is a view into the decoded buffer.
struct Application {
    Session to = 0;
    Lane lane = Lane::small;
    std::uint64_t sequence = 0;  ///< per lane and session pair, from 0
    std::span<const std::byte> body;
};

/// Travels on a lane of application messages behind those that it counts: who has fewer has lost
/// some. A lost one shows when another follows; the last one, by this.
struct Mark {
    Session to = 0;
    Lane lane = Lane::small;
    std::uint64_t sequence = 0;  ///< of the application message to follow
    bool operator==(const Mark&) const = default;
};

using ControlMessage =
    std::variant<Hello, Heartbeat, Describe, Leave, Sightings, Application, Mark>;

/// Where a message travels.
Lane lane_of(const ControlMessage& message) noexcept;

/// Everything but the body of an Application, which the transport sends behind it uncopied.
std::vector<std::byte> encode(const ControlMessage& message);

/// Malformed or oversized bytes give a DecodeError, never an exception other than std::bad_alloc.
DecodeResult<ControlMessage> decode_control(std::span<const std::byte> bytes);

}  // namespace shoal::mesh::wire
