// Finding devices that hold the cluster key: a pure state machine. It has no clock, socket or
// thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mesh/discovery/beacon_link.hpp"
#include "mesh/discovery/rate_limit.hpp"
#include "mesh/wire/beacon.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::discovery {

using std::chrono::milliseconds;

struct DiscoveryConfig {
    /// Announcements after the start; then one per interval.
    std::array<milliseconds, 4> burst{milliseconds(0), milliseconds(10), milliseconds(40),
                                      milliseconds(160)};
    milliseconds interval{1000};
    /// How long an answer may quote a nonce of ours: a generous round trip.
    milliseconds nonce_life{3000};
    /// A member's announcements are answered this often even so, in case it lost us silently.
    milliseconds courtesy{10000};
    /// How long an address is remembered that a beacon of another cluster came from.
    milliseconds foreign_life{60000};
    RateLimit::Config answers;
};

/// What became of the datagrams received.
struct DiscoveryCounters {
    std::uint64_t malformed = 0;  ///< not a beacon of a version that we know
    std::uint64_t foreign = 0;    ///< another cluster's, or forged
    std::uint64_t stale = 0;      ///< quoted a nonce that is not ours or is too old: a replay
    std::uint64_t limited = 0;    ///< not answered because of the rate limit
};

/// Announces this device, answers others, and reports a device only when it has quoted a fresh
/// nonce of ours under the cluster's MAC: a recorded beacon, played again, convinces nobody.
class Discovery {
  public:
    struct Self {
        PublicKey public_key{};
        std::uint64_t instance = 0;
        std::uint16_t control_port = 0;
    };
    /// A device that holds the cluster key and is there now.
    struct Sighted {
        PublicKey public_key{};
        DeviceId id;
        std::uint64_t instance = 0;
        std::uint16_t control_port = 0;
        Endpoint endpoint;  ///< where it answers beacons
        Time started;       ///< by its own account
    };
    /// A datagram to send; to everyone near and to the static peers when `to` is empty.
    struct Outgoing {
        std::optional<Endpoint> to;
        wire::BeaconBytes bytes{};
    };
    struct Output {
        std::vector<Outgoing> send;
        std::vector<Sighted> sighted;
        std::vector<Endpoint> clones;  ///< devices that hold our own key, and are there now
    };
    using Random = std::function<void(std::span<std::uint8_t>)>;
    /// Whether a device is a member of that instance, so that it needs no answer.
    using IsSettled = std::function<bool(const DeviceId&, std::uint64_t instance)>;
    /// Whether a device with that key belonged to the cluster before its key changed.
    using IsKnown = std::function<bool(const PublicKey&)>;

    Discovery(Self self, const wire::BeaconKey& key, DiscoveryConfig config, Random random,
              IsSettled is_settled, Time now);

    /// Announces under the first key from now on, and takes beacons that were made with it. With
    /// the others it takes those of devices that are known, and answers under the same key.
    /// Requires: there is one. It begins anew with the burst.
    void set_keys(std::vector<wire::BeaconKey> keys, IsKnown is_known, Time now);
    void tick(Time now, Output& out);
    void received(std::span<const std::byte> bytes, const Endpoint& from, Time now, Output& out);
    /// Asks at one address, where a member has seen a device.
    void contact(const Endpoint& to, Time now, Output& out);
    Time next_deadline() const noexcept { return next_announcement_; }
    const DiscoveryCounters& counters() const noexcept { return counters_; }
    /// Some of the addresses that beacons of other clusters came from of late.
    std::vector<std::string> foreigners(Time now) const;

  private:
    struct Issued {
        wire::Nonce nonce{};
        Time at;
    };

    wire::BeaconBytes make(wire::Beacon::Kind kind, const wire::Nonce& nonce,
                           const wire::Nonce& echo, const wire::BeaconKey& key, Time now) const;
    /// Which of ours it was made with; null: none that counts for its sender.
    const wire::BeaconKey* key_of(std::span<const std::byte> bytes,
                                  const wire::Beacon& beacon) const noexcept;
    void note_foreigner(const std::string& host, Time now);
    wire::Nonce issue_nonce(Time now);
    bool was_issued(const wire::Nonce& nonce, Time now) const noexcept;
    /// The nonce of our answers to one device; changes every nonce_life.
    wire::Nonce cookie(const DeviceId& id, std::uint64_t period) const noexcept;
    std::uint64_t period_of(Time now) const noexcept;
    void answer(const wire::Beacon& beacon, const DeviceId& id, const Endpoint& from,
                const wire::BeaconKey& key, Time now, Output& out);
    bool is_fresh(const wire::Beacon& beacon, const DeviceId& id, Time now) const noexcept;

    Self self_;
    std::vector<wire::BeaconKey> keys_;  // the first is the cluster's now
    IsKnown is_known_;
    DiscoveryConfig config_;
    Random random_;
    IsSettled is_settled_;
    RateLimit limit_;
    DiscoveryCounters counters_;
    Time start_;
    Time burst_start_;
    std::size_t announced_ = 0;
    Time next_announcement_;
    std::deque<Issued> issued_;
    std::array<std::uint8_t, 32> cookie_key_{};
    std::map<DeviceId, Time> courtesies_;
    std::map<std::string, Time> foreigners_;  // when they were heard last
};

}  // namespace shoal::mesh::discovery
