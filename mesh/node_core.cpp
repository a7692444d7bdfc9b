#include "mesh/node_core.hpp"

#include <algorithm>
#include <utility>

namespace shoal::mesh {

namespace {

/// A clash is over when it was not seen for this long; beacons show it every second.
constexpr std::chrono::seconds kClashLife{10};

std::uint64_t draw(const NodeCore::Random& random) {
    std::array<std::uint8_t, 8> bytes{};
    random(bytes);
    std::uint64_t value = 0;
    for (const std::uint8_t byte : bytes) value = value << 8 | byte;
    return value;
}

}  // namespace

NodeCore::NodeCore(NodeCoreSettings settings, transport::Transport& transport,
                   discovery::BeaconLink& link, membership::Election::Persist persist,
                   Random random, Node::Callbacks callbacks, Time now)
    : settings_(std::move(settings)),
      id_(device_id_of(settings_.public_key)),
      transport_(transport),
      link_(link),
      random_(std::move(random)),
      instance_(draw(random_)),
      callbacks_(std::move(callbacks)),
      discovery_(
          {settings_.public_key, instance_, settings_.control_port}, settings_.beacon_key,
          settings_.discovery, random_,
          [this](const DeviceId& id, std::uint64_t instance) {
              return membership_.is_settled(id, instance);
          },
          now),
      membership_(
          id_, instance_, settings_.self, settings_.membership, [this] { return draw(random_); },
          now),
      election_(membership::candidate_of(id_, settings_.self), settings_.election,
                settings_.stored_counter, std::move(persist), now) {}

void NodeCore::poll(Time now) {
    if (left_) return;
    more_ = receive_beacons(now);
    more_ = receive_messages(now) || more_;
    if (left_) return;
    discovery::Discovery::Output output;
    discovery_.tick(now, output);
    process(output, now);
    membership::Actions actions;
    membership_.tick(now, actions);
    process(actions, now);
    election_.tick(now);
    report_root(now);
}

Time NodeCore::next_deadline() const {
    if (left_) return Time::max();
    if (more_) return Time();  // Long gone, and yet far from where differences overflow.
    return std::min(
        {discovery_.next_deadline(), membership_.next_deadline(), election_.next_deadline()});
}

bool NodeCore::receive_beacons(Time now) {
    for (int i = 0; i < kMaxBatch; ++i) {
        const auto datagram = link_.receive();
        if (!datagram) return false;
        discovery::Discovery::Output output;
        discovery_.received(datagram->bytes, datagram->from, now, output);
        process(output, now);
    }
    return true;
}

bool NodeCore::receive_messages(Time now) {
    std::size_t bytes = 0;
    for (int i = 0; i < kMaxBatch && bytes < kMaxBatchBytes && !left_; ++i) {
        const auto incoming = transport_.receive();
        if (!incoming) return false;
        bytes += incoming->bytes.size();
        if (incoming->kind == transport::Incoming::Kind::broken) {
            membership_.broken(incoming->from, now);
        } else {
            on_message(*incoming, now);
        }
    }
    return true;
}

void NodeCore::on_message(const transport::Incoming& incoming, Time now) {
    const auto message = wire::decode_control(incoming.bytes);
    if (!message) {
        ++malformed_;
        return;
    }
    membership::Actions actions;
    const auto* application = std::get_if<wire::Application>(&*message);
    if (application == nullptr) {
        membership_.received(incoming.from, *message, now, actions);
        return process(actions, now);
    }
    const bool accepted = membership_.accept(incoming.from, *application, now, actions);
    process(actions, now);
    if (accepted && !left_ && callbacks_.message) {
        callbacks_.message(incoming.from, application->body);
    }
}

void NodeCore::process(discovery::Discovery::Output& output, Time now) {
    for (const auto& datagram : output.send) {
        if (datagram.to) {
            link_.send(*datagram.to, datagram.bytes);
        } else {
            link_.announce(datagram.bytes);
        }
    }
    for (const auto& sighted : output.sighted) {
        membership::Actions actions;
        membership_.found({sighted.id, sighted.public_key, sighted.instance, sighted.endpoint.host,
                           sighted.control_port, sighted.endpoint.port, sighted.started},
                          now, actions);
        process(actions, now);
    }
    for (const discovery::Endpoint& clone : output.clones) {
        clashes_[id_] = {"", clone.host, now};
    }
}

void NodeCore::process(membership::Actions& actions, Time now) {
    pending_.insert(pending_.end(), std::make_move_iterator(actions.begin()),
                    std::make_move_iterator(actions.end()));
    // A callback may call describe() or leave(): what they want done follows what is being done.
    if (performing_) return;
    performing_ = true;
    while (!pending_.empty()) {
        const membership::Action action = std::move(pending_.front());
        pending_.pop_front();
        perform(action, now);
    }
    performing_ = false;
    report_root(now);
}

void NodeCore::perform(const membership::Action& action, Time now) {
    std::visit([&](const auto& a) { perform(a, now); }, action);
}

void NodeCore::perform(const membership::Connect& action, Time) {
    // A failure shows as a device that never answers, and is tried again.
    (void)transport_.connect(action.device.id, action.device.public_key, action.device.host,
                             action.device.control_port);
}

void NodeCore::perform(const membership::Disconnect& action, Time) {
    transport_.disconnect(action.id, action.public_key);
}

void NodeCore::perform(const membership::Send& action, Time) {
    // A full queue means a device that does not read; it will be suspected. Marks come again.
    (void)transport_.send(action.to, wire::lane_of(action.message), wire::encode(action.message),
                          {});
}

void NodeCore::perform(const membership::Joined& action, Time now) {
    const membership::Peer* peer = membership_.member(action.id);
    if (peer == nullptr) return;
    election_.seen(membership::candidate_of(action.id, peer->description), now);
    joined_.insert(action.id);
    if (callbacks_.joined) callbacks_.joined(describe_member(*peer));
}

void NodeCore::perform(const membership::Updated& action, Time now) {
    const membership::Peer* peer = membership_.member(action.id);
    if (peer == nullptr || !joined_.contains(action.id)) return;
    election_.seen(membership::candidate_of(action.id, peer->description), now);
    if (callbacks_.updated) callbacks_.updated(describe_member(*peer));
}

void NodeCore::perform(const membership::Lost& action, Time now) {
    election_.lost(action.id, now);
    if (joined_.erase(action.id) != 0 && callbacks_.lost) callbacks_.lost(action.id);
}

void NodeCore::perform(const membership::Heard& action, Time now) {
    election_.heard(action.id, action.state, now);
}

void NodeCore::perform(const membership::Contact& action, Time now) {
    discovery::Discovery::Output output;
    discovery_.contact({action.host, action.beacon_port}, now, output);
    process(output, now);
}

void NodeCore::perform(const membership::Clash& action, Time now) {
    clashes_[action.id] = {action.member, action.other, now};
}

void NodeCore::report_root(Time now) {
    if (performing_ || left_) return;
    membership::Actions actions;
    membership_.announce(election_.state(), now, actions);
    const auto root = election_.root();
    if (root != reported_root_ || (root && election_.term() != reported_term_)) {
        reported_root_ = root;
        reported_term_ = election_.term();
        if (callbacks_.root_changed) callbacks_.root_changed(root, election_.term());
    }
    if (!actions.empty()) process(actions, now);
}

std::vector<messages::Warning> NodeCore::warnings(Time now) const {
    using messages::Severity;
    std::vector<messages::Warning> list;
    for (const auto& [id, clash] : clashes_) {
        if (now - clash.at >= kClashLife) continue;
        const std::string text =
            id == id_ ? "another device, at " + clash.other + ", runs with this device's identity"
                      : "two devices run with one identity: the one at " + clash.member +
                            " is in the cluster, the one at " + clash.other + " is kept out";
        list.push_back({"identity-clash", Severity::error, id.hex(), text,
                        "stop one of them, delete the file device.key in its state folder, which "
                        "was copied from the other, and start it again"});
    }
    const std::vector<std::string> foreigners = discovery_.foreigners(now);
    if (!foreigners.empty()) {
        std::string hosts;
        for (const std::string& host : foreigners) hosts += (hosts.empty() ? "" : ", ") + host;
        list.push_back({"foreign-cluster", Severity::notice, id_.hex(),
                        foreigners.size() == 1
                            ? "a device at " + hosts + " uses another cluster key"
                            : "devices at " + hosts + " use other cluster keys",
                        "if it should be in this cluster, run shoal invite here and shoal join "
                        "there; otherwise all is well"});
    }
    return list;
}

Member NodeCore::describe_member(const membership::Peer& peer) const {
    Member member;
    member.id = peer.found.id;
    member.public_key = peer.found.public_key;
    member.description = peer.description;
    member.address = peer.found.host;
    member.round_trip = peer.round_trip.get();
    member.term = peer.election.term;
    member.suspect = peer.state == membership::PeerState::suspect;
    return member;
}

std::vector<Member> NodeCore::members() const {
    Member own;
    own.id = id_;
    own.public_key = settings_.public_key;
    own.description = settings_.self;
    own.address = settings_.address;
    own.round_trip = std::chrono::microseconds(0);
    own.term = election_.state().term;
    std::vector<Member> all{std::move(own)};
    for (const auto& [id, peer] : membership_.peers()) {
        if (peer.is_member()) all.push_back(describe_member(peer));
    }
    return all;
}

bool NodeCore::send(const DeviceId& to, std::span<const std::byte> bytes) {
    if (bytes.size() > wire::kMaxApplicationBytes) return false;
    const wire::Lane lane =
        bytes.size() <= wire::kSmallMessageBytes ? wire::Lane::small : wire::Lane::bulk;
    const auto header = membership_.next_header(to, lane);
    if (!header || !transport_.send(to, lane, wire::encode(*header), bytes)) return false;
    membership_.sent(to, lane);
    return true;
}

void NodeCore::describe(DeviceDescription self, Time now) {
    if (left_) return;
    settings_.self = std::move(self);
    election_.describe(membership::candidate_of(id_, settings_.self), now);
    membership::Actions actions;
    membership_.describe(settings_.self, now, actions);
    process(actions, now);
}

void NodeCore::leave(Time now) {
    if (left_) return;
    membership::Actions actions;
    membership_.leave(actions);
    process(actions, now);
    left_ = true;
}

void NodeCore::enter(const wire::BeaconKey& key, Time now) {
    if (left_) return;
    discovery_.set_keys(
        {key}, [](const PublicKey&) { return false; }, now);
    clashes_.clear();
    membership::Actions actions;
    membership_.part(actions);
    membership_.refuse({}, actions);
    process(actions, now);
}

void NodeCore::set_keys(std::vector<wire::BeaconKey> keys, discovery::Discovery::IsKnown is_known,
                        Time now) {
    discovery_.set_keys(std::move(keys), std::move(is_known), now);
}

void NodeCore::refuse(std::set<DeviceId> devices, Time now) {
    if (left_) return;
    membership::Actions actions;
    membership_.refuse(std::move(devices), actions);
    process(actions, now);
}

}  // namespace shoal::mesh
