// Who is in the cluster: a pure state machine. It has no clock, socket or thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "mesh/membership/round_trip.hpp"
#include "mesh/wire/control.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::membership {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

/// Devices that are members or about to become so.
inline constexpr std::size_t kMaxPeers = 256;

struct MembershipConfig {
    milliseconds heartbeat{500};
    milliseconds suspect_after{2000};    ///< silence after which a member is asked more often
    milliseconds dead_after{4000};       ///< silence after which it is lost
    milliseconds hello{200};             ///< between hellos until the other side answers
    milliseconds connect_timeout{5000};  ///< a device that was found but never answered is dropped
    /// A member whose connection broke is lost when it is silent for this long: a process that
    /// died closes its connections at once, a live one comes back within milliseconds.
    milliseconds broken_after{1000};
    milliseconds broken_grace{100};  ///< what comes this soon after the break was sent before it
    milliseconds rival_forgotten{
        5000};                          ///< another instance that was not found again for this long
    milliseconds sightings{3000};       ///< between the lists of members that members exchange
    milliseconds first_sightings{200};  ///< from a device's joining to the next list
};

/// A device as discovery found it.
struct Found {
    DeviceId id;
    PublicKey public_key{};
    std::uint64_t instance = 0;  ///< random at each of its starts
    std::string host;            ///< numeric address, as seen by us
    std::uint16_t control_port = 0;
    std::uint16_t beacon_port = 0;  ///< where it answers beacons
    Time started;                   ///< by its own account, to a second or two
};

enum class PeerState : std::uint8_t {
    connecting,  ///< found; it has not proved to hear us
    alive,
    suspect,  ///< a member still, but silent
};

/// What the state machine wants done, in this order.
struct Connect {
    Found device;
};
struct Disconnect {
    DeviceId id;
    PublicKey public_key{};
};
struct Send {
    DeviceId to;
    wire::ControlMessage message;
};
struct Joined {
    DeviceId id;
};
struct Updated {
    DeviceId id;
};
/// Its instance cannot come back; a device that does joins anew.
struct Lost {
    DeviceId id;
    const char* why;
};
/// Its election state arrived; it is a member.
struct Heard {
    DeviceId id;
    wire::ElectionState state;
};
struct Contact {
    std::string host;
    std::uint16_t beacon_port = 0;
};
/// Two processes run with one device's key, at these addresses; the first is the member.
struct Clash {
    DeviceId id;
    std::string member, other;
};
using Action =
    std::variant<Connect, Disconnect, Send, Joined, Updated, Lost, Heard, Contact, Clash>;
using Actions = std::vector<Action>;

/// Another instance of a member, found while the member was there.
struct Rival {
    std::uint64_t instance = 0;
    Time since, seen;
};

struct Peer {
    Found found;
    PeerState state = PeerState::connecting;
    DeviceDescription description;
    wire::Revision revision = 0;  ///< of that
    wire::ElectionState election;
    RoundTrip round_trip;

    wire::Session ours = 0;    ///< our number for the conversation
    wire::Session theirs = 0;  ///< its number; 0: no hello yet
    Time since;                ///< of the present state connecting, or of joining
    Time heard_at;             ///< the latest valid message
    Time next_send;            ///< hello or heartbeat
    std::optional<Time> broken_at;
    std::optional<Rival> rival;
    std::uint64_t told_us = 0;  ///< our clock when we last sent our description
    std::uint64_t echo_clock_us = 0;
    Time echo_at;
    std::array<std::uint64_t, wire::kLanes> next_out{}, next_in{};  ///< application sequences

    bool is_member() const noexcept { return state != PeerState::connecting; }
};

/// A member is a device that proved, in this conversation, to hear us and to be heard: it quoted
/// our session number in a message and we hold its description. Between Joined and Lost its
/// application messages come in order and without gaps on each lane; one that is missing, be it the
/// last, ends the conversation with Lost, and the devices meet again.
class Membership {
  public:
    using Random = std::function<std::uint64_t()>;

    /// `instance`: of this process, as in its beacons.
    Membership(DeviceId self, std::uint64_t instance, DeviceDescription description,
               MembershipConfig config, Random random, Time now);

    void found(const Found& device, Time now, Actions& out);
    /// A message other than an Application, from the holder of `from`'s key.
    void received(const DeviceId& from, const wire::ControlMessage& message, Time now,
                  Actions& out);
    /// True when the application message is the next of its lane; else it must be dropped.
    [[nodiscard]] bool accept(const DeviceId& from, const wire::Application& message, Time now,
                              Actions& out);
    /// The connection to a device broke; it may come back.
    void broken(const DeviceId& id, Time now);
    void tick(Time now, Actions& out);
    Time next_deadline() const;

    void describe(const DeviceDescription& description, Time now, Actions& out);
    /// Our election state; members hear of a change at once.
    void announce(const wire::ElectionState& state, Time now, Actions& out);
    void leave(Actions& out);
    /// The same, and goes on alone: all members are lost.
    void part(Actions& out);
    /// Those are no members any more, and are not taken when they are found, until others are named
    /// in their place.
    void refuse(std::set<DeviceId> devices, Actions& out);

    /// The header of the next application message on a lane; nothing when there is no such member.
    std::optional<wire::Application> next_header(const DeviceId& to, wire::Lane lane) const;
    /// The message with that header was handed to the transport.
    void sent(const DeviceId& to, wire::Lane lane);

    /// True when the device is a member of that instance, so that its beacons need no answer.
    bool is_settled(const DeviceId& id, std::uint64_t instance) const;
    const std::map<DeviceId, Peer>& peers() const noexcept { return peers_; }
    const Peer* member(const DeviceId& id) const;

  private:
    using Peers = std::map<DeviceId, Peer>;

    wire::Session new_session() const;
    std::uint64_t clock_us(Time now) const;
    void send_hello(Peer& peer, Time now, Actions& out);
    void send_description(Peer& peer, Time now, Actions& out);
    /// And a mark on each lane that was used.
    void send_heartbeat(Peer& peer, Time now, Actions& out);
    void heard_from(Peer& peer, Time now, Actions& out);
    void on(Peer& peer, const wire::Hello& hello, Time now, Actions& out);
    void on(Peer& peer, const wire::Heartbeat& heartbeat, Time now, Actions& out);
    void on(Peer& peer, const wire::Describe& message, Actions& out);
    void learn(Peer& peer, const DeviceDescription& description, wire::Revision revision,
               Actions& out);
    void on(Peer& peer, const wire::Sightings& message, Actions& out);
    void on(Peer& peer, const wire::Mark& message, Time now, Actions& out);
    void on_gap(Peer& peer, Time now, Actions& out);
    /// Whether an instance that was found takes the place of the member.
    bool replaces(const Found& device, Peer& member, Time now, Actions& out) const;
    void restart_conversation(Peer& peer, const char* why, Time now, Actions& out);
    Peers::iterator drop(Peers::iterator peer, const char* why, Actions& out);
    /// Why the peer must go now, or null.
    const char* verdict(Peer& peer, Time now) const;
    void send_sightings(Time now, Actions& out);

    DeviceId self_;
    std::uint64_t instance_;
    DeviceDescription description_;
    wire::Revision revision_ = 1;
    MembershipConfig config_;
    Random random_;
    Peers peers_;
    std::set<DeviceId> refused_;
    wire::ElectionState election_;
    Time next_sightings_;
    Time epoch_;
};

}  // namespace shoal::mesh::membership
