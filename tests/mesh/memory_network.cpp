#include "tests/mesh/memory_network.hpp"

#include <sodium.h>

#include <algorithm>

namespace shoal::tests {

using mesh::discovery::Endpoint;
using mesh::transport::Incoming;

namespace {

/// What waits for its receiver to be reached is tried again this often.
constexpr milliseconds kAgain{200};

std::string address_of(std::size_t device) {
    return "10.0.0." + std::to_string(device + 1);
}

std::optional<std::size_t> device_at(const std::string& host) {
    if (!host.starts_with("10.0.0.")) return std::nullopt;
    return std::stoul(host.substr(7)) - 1;
}

bool is_application(std::span<const std::byte> header) {
    const auto message = mesh::wire::decode_control(header);
    return message && std::holds_alternative<mesh::wire::Application>(*message);
}

/// A restarted process listens elsewhere, so that an old address cannot work by accident.
std::uint16_t port_of(std::uint64_t start) {
    return static_cast<std::uint16_t>(40000 + start);
}

}  // namespace

MemoryNetwork::MemoryNetwork(std::uint64_t seed) : random_(seed) {}
MemoryNetwork::~MemoryNetwork() = default;

mesh::NodeCore& MemoryNetwork::core(std::size_t device) {
    return *hosts_[device]->core;
}

const DeviceId& MemoryNetwork::id(std::size_t device) const {
    return hosts_[device]->identity.id;
}

bool MemoryNetwork::allows(std::size_t device, std::size_t other) const {
    return hosts_[device]->allowed.contains(hosts_[other]->identity.public_key);
}

std::uint64_t MemoryNetwork::stored_counter(std::size_t device) const {
    return hosts_[device]->counter;
}

void MemoryNetwork::set_queueing(std::size_t from, milliseconds delay) {
    hosts_[from]->queueing = delay;
}

void MemoryNetwork::fail_storing(std::size_t device, bool fails) {
    hosts_[device]->storing_fails = fails;
}

std::vector<std::string>& MemoryNetwork::events(std::size_t device) {
    return hosts_[device]->events;
}

std::vector<std::string>& MemoryNetwork::messages(std::size_t device) {
    return hosts_[device]->messages;
}

void MemoryNetwork::Link::send_to(std::size_t to, std::span<const std::byte> bytes) {
    Beacon beacon{{address_of(self), port_of(network.hosts_[self]->start)},
                  {bytes.begin(), bytes.end()}};
    network.recorded_.push_back(beacon);
    Host& host = *network.hosts_[to];
    if (to == self || !host.core || !network.reachable_(self, to) || network.is_lost()) return;
    network.deliver({network.arrival(), 0, to, host.start, std::move(beacon)});
}

void MemoryNetwork::Link::announce(std::span<const std::byte> bytes) {
    for (std::size_t to = 0; to < network.hosts_.size(); ++to) {
        if (network.hosts_[to]->options.hears_announcements) send_to(to, bytes);
    }
    for (const std::size_t to : network.hosts_[self]->options.peers) send_to(to, bytes);
}

void MemoryNetwork::Link::send(const Endpoint& to, std::span<const std::byte> bytes) {
    const auto device = device_at(to.host);
    if (device && port_of(network.hosts_[*device]->start) == to.port) send_to(*device, bytes);
}

std::optional<mesh::discovery::Datagram> MemoryNetwork::Link::receive() {
    if (inbox.empty()) return std::nullopt;
    current = std::move(inbox.front());
    inbox.pop_front();
    return mesh::discovery::Datagram{current.from, current.bytes};
}

bool MemoryNetwork::Transport::connect(const DeviceId& id, const mesh::PublicKey& key,
                                       const std::string& host, std::uint16_t port) {
    Host& own = *network.hosts_[self];
    own.allowed.insert(key);
    const auto device = device_at(host);
    if (!device || network.hosts_[*device]->identity.public_key != key) return false;
    connections[id] = {*device, static_cast<std::uint64_t>(port - 40000)};
    return true;
}

void MemoryNetwork::Transport::disconnect(const DeviceId& id, const mesh::PublicKey& key) noexcept {
    network.hosts_[self]->allowed.erase(key);
    connections.erase(id);
}

bool MemoryNetwork::Transport::send(const DeviceId& to, mesh::wire::Lane lane,
                                    std::span<const std::byte> header,
                                    std::span<const std::byte> body) {
    const auto it = connections.find(to);
    if (it == connections.end()) return false;
    const bool is_membership = lane == mesh::wire::Lane::membership;
    const bool held = network.holds_ && !is_membership;
    if (!held && !network.reachable_(self, it->second.to)) return true;
    if (is_membership && network.is_lost()) return true;
    if (network.lose_ && is_application(header)) {
        std::exchange(network.lose_, nullptr)(self, it->second.to);
        return true;
    }
    Host& own = *network.hosts_[self];
    Message message;
    message.from = own.identity.id;
    message.bytes.assign(header.begin(), header.end());
    message.bytes.insert(message.bytes.end(), body.begin(), body.end());
    Time& latest = it->second.latest[static_cast<std::size_t>(lane)];
    latest = std::max(latest, network.arrival() + (is_membership ? milliseconds(0) : own.queueing));
    network.deliver({latest, 0, it->second.to, it->second.start, std::move(message),
                     own.identity.public_key, held ? std::optional(self) : std::nullopt});
    return true;
}

std::optional<Incoming> MemoryNetwork::Transport::receive() {
    if (inbox.empty()) return std::nullopt;
    current = std::move(inbox.front());
    inbox.pop_front();
    return Incoming{current.kind, current.from, current.bytes};
}

std::size_t MemoryNetwork::add(const Options& options) {
    hosts_.push_back(std::make_unique<Host>());
    // Ids decide elections, so they come from the seed as well.
    std::array<unsigned char, crypto_box_SEEDBYTES> seed{};
    for (auto& b : seed) b = static_cast<unsigned char>(random_());
    mesh::Identity& identity = hosts_.back()->identity;
    crypto_box_seed_keypair(identity.public_key.data(), identity.secret_key.data(), seed.data());
    identity.id = mesh::device_id_of(identity.public_key);
    if (options.clone_of) identity = hosts_[*options.clone_of]->identity;
    hosts_.back()->options = options;
    return hosts_.size() - 1;
}

void MemoryNetwork::start(std::size_t device) {
    Host& host = *hosts_[device];
    mesh::DeviceDescription self;
    self.name = "device" + std::to_string(device);
    self.priority = host.options.priority;
    self.memory_total = host.options.memory;
    const auto say = [&host](const std::string& what) { host.events.push_back(what); };
    mesh::Node::Callbacks callbacks;
    callbacks.joined = [this, say](const mesh::Member& m) {
        say("joined " + std::to_string(index_of(m.id)));
    };
    callbacks.lost = [this, say](const DeviceId& id) {
        say("lost " + std::to_string(index_of(id)));
    };
    callbacks.root_changed = [this, say](std::optional<DeviceId> root, mesh::Term) {
        say(root ? "root " + std::to_string(index_of(*root)) : "no root");
    };
    callbacks.message = [&host](const DeviceId&, std::span<const std::byte> bytes) {
        std::string text;
        for (const std::byte b : bytes) text.push_back(static_cast<char>(b));
        host.messages.push_back(std::move(text));
    };
    start(device, std::move(self), std::move(callbacks));
}

void MemoryNetwork::start(std::size_t device, mesh::DeviceDescription self,
                          mesh::Node::Callbacks callbacks) {
    Host& host = *hosts_[device];
    ++host.start;
    host.allowed.clear();
    host.link = std::make_unique<Link>(*this, device);
    host.transport = std::make_unique<Transport>(*this, device);
    mesh::NodeCoreSettings settings;
    settings.public_key = host.identity.public_key;
    settings.beacon_key = host.options.key.beacon_key();
    settings.control_port = port_of(host.start);
    settings.address = address_of(device);
    settings.self = std::move(self);
    settings.stored_counter = host.counter;
    host.core = std::make_unique<mesh::NodeCore>(
        std::move(settings), *host.transport, *host.link,
        [&host](std::uint64_t counter) {
            if (host.storing_fails) return false;
            host.counter = counter;
            return true;
        },
        [this](std::span<std::uint8_t> bytes) {
            for (auto& b : bytes) b = static_cast<std::uint8_t>(random_());
        },
        std::move(callbacks), now_);
}

void MemoryNetwork::kill(std::size_t device, bool power_loss) {
    Host& host = *hosts_[device];
    host.core.reset();
    host.transport.reset();
    host.link.reset();
    if (power_loss) return;
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        Host& other = *hosts_[i];
        if (!other.core) continue;
        const auto it = other.transport->connections.find(host.identity.id);
        if (it == other.transport->connections.end() || it->second.to != device) continue;
        deliver({arrival(), 0, i, other.start,
                 Message{Incoming::Kind::broken, host.identity.id, {}}, host.identity.public_key});
    }
}

void MemoryNetwork::leave(std::size_t device) {
    hosts_[device]->core->leave(now_);
    kill(device, true);
}

void MemoryNetwork::deliver(Delivery delivery) {
    delivery.order = order_++;
    in_flight_.push(std::move(delivery));
}

void MemoryNetwork::inject(std::size_t device, const Beacon& beacon) {
    deliver({arrival(), 0, device, hosts_[device]->start, beacon});
}

Time MemoryNetwork::next() const {
    Time next = in_flight_.empty() ? Time::max() : in_flight_.top().at;
    for (const auto& host : hosts_) {
        if (host->core) next = std::min(next, host->core->next_deadline());
    }
    return next;
}

void MemoryNetwork::step(Time until) {
    pass(std::min(until, next()));
    turn();
}

void MemoryNetwork::turn() {
    while (!in_flight_.empty() && in_flight_.top().at <= now_) {
        Delivery delivery = in_flight_.top();
        in_flight_.pop();
        Host& host = *hosts_[delivery.to];
        if (!host.core || host.start != delivery.start) continue;
        if (delivery.held_from && !reachable_(*delivery.held_from, delivery.to)) {
            // All that wait are tried at the same times, so that they keep their order.
            delivery.at = now_ - now_.time_since_epoch() % kAgain + kAgain;
            deliver(std::move(delivery));
            continue;
        }
        if (auto* beacon = std::get_if<Beacon>(&delivery.what)) {
            host.link->inbox.push_back(std::move(*beacon));
        } else if (host.allowed.contains(delivery.sender)) {
            host.transport->inbox.push_back(std::move(std::get<Message>(delivery.what)));
        }
    }
    for (const auto& host : hosts_) {
        if (!host->core) continue;
        const bool has_input = !host->link->inbox.empty() || !host->transport->inbox.empty();
        if (has_input || host->core->next_deadline() <= now_) host->core->poll(now_);
    }
}

void MemoryNetwork::run(milliseconds duration) {
    const Time end = now_ + duration;
    while (now_ < end) step(end);
}

bool MemoryNetwork::run_until(const std::function<bool()>& done, milliseconds at_most) {
    const Time end = now_ + at_most;
    while (!done()) {
        if (now_ >= end) return false;
        step(end);
    }
    return true;
}

std::size_t MemoryNetwork::index_of(const DeviceId& id) const {
    const auto it =
        std::ranges::find_if(hosts_, [&](const auto& h) { return h->identity.id == id; });
    return static_cast<std::size_t>(it - hosts_.begin());
}

std::size_t MemoryNetwork::count_events(std::size_t device, const std::string& event) const {
    return static_cast<std::size_t>(std::ranges::count(hosts_[device]->events, event));
}

std::optional<std::size_t> MemoryNetwork::root(std::size_t device) const {
    const auto& core = hosts_[device]->core;
    if (!core || !core->root()) return std::nullopt;
    return index_of(*core->root());
}

std::optional<std::size_t> MemoryNetwork::common_root(
    const std::vector<std::size_t>& devices) const {
    const auto first = root(devices.front());
    const mesh::Term term = hosts_[devices.front()]->core->term();
    for (const std::size_t device : devices) {
        const auto& core = *hosts_[device]->core;
        if (root(device) != first || core.term() != term) return std::nullopt;
        const auto members = core.members();
        if (members.size() != devices.size()) return std::nullopt;
        for (const auto& member : members) {
            if (std::ranges::find(devices, index_of(member.id)) == devices.end()) {
                return std::nullopt;
            }
            if (member.term != term) return std::nullopt;
        }
    }
    return first;
}

}  // namespace shoal::tests
