#include "mesh/membership/membership.hpp"

#include <algorithm>
#include <utility>

namespace shoal::mesh::membership {

namespace {

std::uint64_t microseconds_between(Time from, Time to) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

/// Of two processes with one key the one that runs longer is the device; everybody sees the same
/// one so, in whichever order they were found. When both started at once, chance decides.
bool is_senior(const Found& a, const Found& b) {
    constexpr std::chrono::seconds kAtOnce{2};
    if (a.started + kAtOnce < b.started) return true;
    if (b.started + kAtOnce < a.started) return false;
    return a.instance < b.instance;
}

/// An address that means something else, or nothing, on another machine.
bool is_local_only(const std::string& host) {
    return host.starts_with("127.") || host == "::1" || host.find('%') != std::string::npos;
}

}  // namespace

Membership::Membership(DeviceId self, std::uint64_t instance, DeviceDescription description,
                       MembershipConfig config, Random random, Time now)
    : self_(self),
      instance_(instance),
      description_(std::move(description)),
      config_(config),
      random_(std::move(random)),
      next_sightings_(now + config.sightings),
      epoch_(now) {}

wire::Session Membership::new_session() const {
    while (true) {
        if (const wire::Session session = random_(); session != 0) return session;
    }
}

// 0 means none.
std::uint64_t Membership::clock_us(Time now) const {
    return microseconds_between(epoch_, now) + 1;
}

void Membership::found(const Found& device, Time now, Actions& out) {
    if (device.id == self_ || refused_.contains(device.id)) return;
    if (const auto it = peers_.find(device.id); it != peers_.end()) {
        if (it->second.found.instance == device.instance) return;
        if (it->second.is_member() && !replaces(device, it->second, now, out)) return;
        drop(it, "it was restarted", out);
    }
    if (peers_.size() >= kMaxPeers) return;
    Peer& peer = peers_[device.id];
    peer.found = device;
    peer.ours = new_session();
    peer.since = peer.heard_at = now;
    out.push_back(Connect{device});
    send_hello(peer, now, out);
}

bool Membership::replaces(const Found& device, Peer& member, Time now, Actions& out) const {
    // Its process died: it was restarted.
    if (member.broken_at) return true;
    auto& rival = member.rival;
    if (!rival || rival->instance != device.instance ||
        now - rival->seen >= config_.rival_forgotten) {
        rival = {device.instance, now, now};
    }
    rival->seen = now;
    if (member.heard_at > rival->since + config_.broken_grace) {
        // It goes on talking, so it was not restarted: there are two of them.
        const bool is_other = is_senior(device, member.found);
        out.push_back(Clash{device.id, is_other ? device.host : member.found.host,
                            is_other ? member.found.host : device.host});
        return is_other;
    }
    // As long as two heartbeats may take, it may yet say something.
    return now - rival->since > 2 * config_.heartbeat + config_.broken_grace;
}

void Membership::send_hello(Peer& peer, Time now, Actions& out) {
    peer.next_send = now + config_.hello;
    peer.told_us = clock_us(now);
    out.push_back(Send{peer.found.id, wire::Hello{peer.ours, peer.theirs, election_, description_,
                                                  instance_, revision_}});
}

void Membership::send_description(Peer& peer, Time now, Actions& out) {
    peer.told_us = clock_us(now);
    out.push_back(Send{peer.found.id, wire::Describe{peer.theirs, description_, revision_}});
}

void Membership::send_heartbeat(Peer& peer, Time now, Actions& out) {
    // A silent member is asked more often, so that one lost message does not decide.
    peer.next_send =
        now + (peer.state == PeerState::suspect ? config_.heartbeat / 2 : config_.heartbeat);
    wire::Heartbeat message;
    message.to = peer.theirs;
    message.clock_us = clock_us(now);
    message.echo_clock_us = peer.echo_clock_us;
    message.echo_delay_us = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(microseconds_between(peer.echo_at, now), UINT32_MAX));
    message.election = election_;
    message.known = peer.revision;
    out.push_back(Send{peer.found.id, message});
    for (const wire::Lane lane : {wire::Lane::small, wire::Lane::bulk}) {
        const std::uint64_t next = peer.next_out[static_cast<std::size_t>(lane)];
        if (next != 0) out.push_back(Send{peer.found.id, wire::Mark{peer.theirs, lane, next}});
    }
}

void Membership::heard_from(Peer& peer, Time now, Actions& out) {
    peer.heard_at = now;
    if (peer.broken_at && now - *peer.broken_at >= config_.broken_grace) peer.broken_at.reset();
    if (peer.state == PeerState::suspect) {
        peer.state = PeerState::alive;
        out.push_back(Updated{peer.found.id});
    }
    if (peer.state == PeerState::alive || peer.theirs == 0) return;
    peer.state = PeerState::alive;
    peer.since = now;
    peer.next_out = peer.next_in = {};
    out.push_back(Joined{peer.found.id});
    out.push_back(Heard{peer.found.id, peer.election});
    // Whom it does not see yet it should hear of soon, and together with who else just came.
    next_sightings_ = std::min(next_sightings_, now + config_.first_sightings);
    // The first heartbeats at once: they tell the other side that we hear it, and how far it is.
    send_heartbeat(peer, now, out);
}

void Membership::restart_conversation(Peer& peer, const char* why, Time now, Actions& out) {
    out.push_back(Lost{peer.found.id, why});
    peer.state = PeerState::connecting;
    peer.ours = new_session();
    peer.theirs = 0;
    peer.since = peer.heard_at = now;
    peer.round_trip = {};
    peer.echo_clock_us = 0;
    peer.election = {};
}

void Membership::received(const DeviceId& from, const wire::ControlMessage& message, Time now,
                          Actions& out) {
    const auto it = peers_.find(from);
    // A device that was not found yet, or is lost already, comes in by its beacon.
    if (it == peers_.end()) return;
    Peer& peer = it->second;
    if (const auto* hello = std::get_if<wire::Hello>(&message)) return on(peer, *hello, now, out);
    const wire::Session to = std::visit([](const auto& m) { return m.to; }, message);
    if (to != peer.ours || peer.theirs == 0) return;
    if (std::holds_alternative<wire::Leave>(message)) {
        drop(it, "it left", out);
        return;
    }
    heard_from(peer, now, out);
    if (const auto* m = std::get_if<wire::Heartbeat>(&message)) on(peer, *m, now, out);
    if (const auto* m = std::get_if<wire::Describe>(&message)) on(peer, *m, out);
    if (const auto* m = std::get_if<wire::Sightings>(&message)) on(peer, *m, out);
    if (const auto* m = std::get_if<wire::Mark>(&message)) on(peer, *m, now, out);
}

void Membership::on(Peer& peer, const wire::Hello& hello, Time now, Actions& out) {
    // Another process with this key: discovery decides whose conversation this is.
    if (hello.instance != peer.found.instance) return;
    const bool is_new = hello.from != peer.theirs;
    if (is_new && peer.is_member()) restart_conversation(peer, "it was restarted", now, out);
    peer.theirs = hello.from;
    peer.election = hello.election;
    learn(peer, hello.description, hello.revision, out);
    if (hello.to != peer.ours) return send_hello(peer, now, out);
    // It knows our session and repeats its hello until it is told that we know its own. Joining
    // sends a heartbeat, which says so; a member that was heard before gets another one.
    const bool was_member = peer.is_member();
    heard_from(peer, now, out);
    if (was_member) send_heartbeat(peer, now, out);
}

void Membership::on(Peer& peer, const wire::Heartbeat& heartbeat, Time now, Actions& out) {
    if (heartbeat.echo_clock_us != 0) {
        const std::uint64_t elapsed = clock_us(now);
        const std::uint64_t spent = heartbeat.echo_clock_us + heartbeat.echo_delay_us;
        if (heartbeat.echo_clock_us <= elapsed && spent <= elapsed) {
            peer.round_trip.add(std::chrono::microseconds(elapsed - spent));
        }
    }
    // A heartbeat that it has heard left behind our description, on the same lane.
    const bool missed = heartbeat.known != revision_ && heartbeat.echo_clock_us > peer.told_us;
    if (missed) send_description(peer, now, out);
    const bool first = peer.echo_clock_us == 0;
    peer.echo_clock_us = heartbeat.clock_us;
    peer.echo_at = now;
    if (first) send_heartbeat(peer, now, out);
    if (peer.election.term != heartbeat.election.term) out.push_back(Updated{peer.found.id});
    peer.election = heartbeat.election;
    out.push_back(Heard{peer.found.id, heartbeat.election});
}

void Membership::on(Peer& peer, const wire::Describe& message, Actions& out) {
    learn(peer, message.description, message.revision, out);
}

void Membership::learn(Peer& peer, const DeviceDescription& description, wire::Revision revision,
                       Actions& out) {
    peer.revision = revision;
    if (peer.description == description) return;
    peer.description = description;
    if (peer.is_member()) out.push_back(Updated{peer.found.id});
}

void Membership::on(Peer& peer, const wire::Sightings& message, Actions& out) {
    for (const wire::Sighting& device : message.devices) {
        if (device.id == self_ || peers_.contains(device.id) || device.port == 0) continue;
        // Loopback addresses are worth something only among devices of one machine.
        if (is_local_only(device.host) && !is_local_only(peer.found.host)) continue;
        out.push_back(Contact{device.host, device.port});
    }
}

void Membership::on(Peer& peer, const wire::Mark& message, Time now, Actions& out) {
    // One that was made before a message and sent behind it counts less.
    if (message.sequence > peer.next_in[static_cast<std::size_t>(message.lane)]) {
        on_gap(peer, now, out);
    }
}

void Membership::on_gap(Peer& peer, Time now, Actions& out) {
    restart_conversation(peer, "messages from it were lost", now, out);
    send_hello(peer, now, out);
}

bool Membership::accept(const DeviceId& from, const wire::Application& message, Time now,
                        Actions& out) {
    const auto it = peers_.find(from);
    if (it == peers_.end()) return false;
    Peer& peer = it->second;
    if (message.to != peer.ours || peer.theirs == 0) return false;
    heard_from(peer, now, out);
    std::uint64_t& expected = peer.next_in[static_cast<std::size_t>(message.lane)];
    if (message.sequence != expected) {
        on_gap(peer, now, out);
        return false;
    }
    ++expected;
    return true;
}

void Membership::broken(const DeviceId& id, Time now) {
    const auto it = peers_.find(id);
    if (it == peers_.end() || it->second.broken_at) return;
    it->second.broken_at = now;
    it->second.next_send = now;
}

const char* Membership::verdict(Peer& peer, Time now) const {
    if (!peer.is_member()) {
        return now - peer.since >= config_.connect_timeout ? "it never answered" : nullptr;
    }
    if (now - peer.heard_at >= config_.dead_after) return "it is silent";
    if (peer.broken_at && now - *peer.broken_at >= config_.broken_after) {
        return "its connection broke";
    }
    return nullptr;
}

void Membership::tick(Time now, Actions& out) {
    for (auto it = peers_.begin(); it != peers_.end();) {
        Peer& peer = it->second;
        if (const char* why = verdict(peer, now)) {
            it = drop(it, why, out);
            continue;
        }
        if (peer.state == PeerState::alive && now - peer.heard_at >= config_.suspect_after) {
            peer.state = PeerState::suspect;
            peer.next_send = now;
            out.push_back(Updated{peer.found.id});
        }
        if (now >= peer.next_send) {
            peer.is_member() ? send_heartbeat(peer, now, out) : send_hello(peer, now, out);
        }
        ++it;
    }
    if (now >= next_sightings_) send_sightings(now, out);
}

void Membership::send_sightings(Time now, Actions& out) {
    next_sightings_ = now + config_.sightings;
    wire::Sightings message;
    for (const auto& [id, peer] : peers_) {
        if (peer.is_member() && message.devices.size() < wire::kMaxSightings) {
            message.devices.push_back({id, peer.found.host, peer.found.beacon_port});
        }
    }
    if (message.devices.size() < 2) return;  // The receiver knows itself.
    for (const auto& [id, peer] : peers_) {
        if (!peer.is_member()) continue;
        message.to = peer.theirs;
        out.push_back(Send{id, message});
    }
}

Membership::Peers::iterator Membership::drop(Peers::iterator it, const char* why, Actions& out) {
    const Peer& peer = it->second;
    if (peer.is_member()) out.push_back(Lost{peer.found.id, why});
    out.push_back(Disconnect{peer.found.id, peer.found.public_key});
    return peers_.erase(it);
}

Time Membership::next_deadline() const {
    Time at = next_sightings_;
    for (const auto& [id, peer] : peers_) {
        at = std::min(at, peer.next_send);
        if (!peer.is_member()) {
            at = std::min(at, peer.since + config_.connect_timeout);
            continue;
        }
        at = std::min(at, peer.heard_at + config_.dead_after);
        if (peer.state == PeerState::alive) {
            at = std::min(at, peer.heard_at + config_.suspect_after);
        }
        if (peer.broken_at) at = std::min(at, *peer.broken_at + config_.broken_after);
    }
    return at;
}

void Membership::describe(const DeviceDescription& description, Time now, Actions& out) {
    if (description_ == description) return;
    description_ = description;
    ++revision_;
    for (auto& [id, peer] : peers_) {
        peer.is_member() ? send_description(peer, now, out) : send_hello(peer, now, out);
    }
}

void Membership::announce(const wire::ElectionState& state, Time now, Actions& out) {
    // A new term, or the first or last follower, decides elections; the exact number of followers
    // can wait for the next heartbeat.
    const bool matters =
        election_.term != state.term || (election_.followers == 0) != (state.followers == 0);
    election_ = state;
    if (!matters) return;
    for (auto& [id, peer] : peers_) {
        if (peer.is_member()) send_heartbeat(peer, now, out);
    }
}

void Membership::leave(Actions& out) {
    for (auto it = peers_.begin(); it != peers_.end();) {
        out.push_back(Send{it->first, wire::Leave{it->second.theirs}});
        out.push_back(Disconnect{it->first, it->second.found.public_key});
        it = peers_.erase(it);
    }
}

void Membership::part(Actions& out) {
    for (auto it = peers_.begin(); it != peers_.end();) {
        out.push_back(Send{it->first, wire::Leave{it->second.theirs}});
        it = drop(it, "we left", out);
    }
}

void Membership::refuse(std::set<DeviceId> devices, Actions& out) {
    refused_ = std::move(devices);
    for (auto it = peers_.begin(); it != peers_.end();) {
        if (!refused_.contains(it->first)) {
            ++it;
            continue;
        }
        out.push_back(Send{it->first, wire::Leave{it->second.theirs}});
        it = drop(it, "it was forgotten", out);
    }
}

std::optional<wire::Application> Membership::next_header(const DeviceId& to,
                                                         wire::Lane lane) const {
    const Peer* peer = member(to);
    if (peer == nullptr) return std::nullopt;
    return wire::Application{
        peer->theirs, lane, peer->next_out[static_cast<std::size_t>(lane)], {}};
}

void Membership::sent(const DeviceId& to, wire::Lane lane) {
    const auto it = peers_.find(to);
    if (it != peers_.end()) ++it->second.next_out[static_cast<std::size_t>(lane)];
}

bool Membership::is_settled(const DeviceId& id, std::uint64_t instance) const {
    const Peer* peer = member(id);
    return peer != nullptr && peer->state == PeerState::alive && peer->found.instance == instance;
}

const Peer* Membership::member(const DeviceId& id) const {
    const auto it = peers_.find(id);
    return it != peers_.end() && it->second.is_member() ? &it->second : nullptr;
}

}  // namespace shoal::mesh::membership
