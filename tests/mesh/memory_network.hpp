// Devices on a network that exists in memory only, with virtual time: every run with one seed is
// the same run.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/node_core.hpp"
#include "mesh/transport/identity_store.hpp"

namespace shoal::tests {

using mesh::DeviceId;
using mesh::Time;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class MemoryNetwork {
  public:
    /// What a device is configured with.
    struct Options {
        mesh::ClusterKey key;
        std::int32_t priority = 0;
        std::uint64_t memory = 4ull << 30;
        bool hears_announcements = true;           ///< false: only unicast beacons reach it
        std::vector<std::size_t> peers;            ///< static peers
        std::optional<std::size_t> clone_of = {};  ///< has the identity of that device
    };
    struct Beacon {
        mesh::discovery::Endpoint from;
        std::vector<std::byte> bytes;
    };

    explicit MemoryNetwork(std::uint64_t seed);
    ~MemoryNetwork();

    std::size_t add(const Options& options);
    void start(std::size_t device);
    /// The same for whoever is told itself what the node has to say.
    void start(std::size_t device, mesh::DeviceDescription self, mesh::Node::Callbacks callbacks);
    /// The process dies. Connections break visibly, unless the machine lost its power.
    void kill(std::size_t device, bool power_loss = false);
    void leave(std::size_t device);
    void run(milliseconds duration);
    /// Runs until `done` says so; false when that takes longer.
    bool run_until(const std::function<bool()>& done, milliseconds at_most);

    /// For whoever has other things happen in the same time: when something happens here next, time
    /// that passes without it, and what is due by then.
    Time next() const;
    void pass(Time until) { now_ = std::max(now_, until); }
    void turn();

    /// Datagrams and messages of the membership lane get lost with this probability.
    void set_loss(double probability) { loss_ = probability; }
    /// Whether two devices reach each other.
    void set_reachable(std::function<bool(std::size_t, std::size_t)> reachable) {
        reachable_ = std::move(reachable);
    }
    /// Application messages wait while two devices do not reach each other, as TCP has them wait,
    /// instead of being lost.
    void hold_application_messages() { holds_ = true; }
    /// A device's application messages take so much longer, as in a queue; membership's do not.
    void set_queueing(std::size_t from, milliseconds delay);
    bool reaches(std::size_t from, std::size_t to) const { return reachable_(from, to); }
    /// One application message gets lost on its way, as when a connection is cut; `then` is told
    /// between whom.
    using Lost = std::function<void(std::size_t from, std::size_t to)>;
    void lose_next_application_message(Lost then = [](auto, auto) {}) { lose_ = std::move(then); }
    void lose_no_application_message() { lose_ = nullptr; }

    Time now() const { return now_; }
    std::size_t size() const { return hosts_.size(); }
    mesh::NodeCore& core(std::size_t device);
    const DeviceId& id(std::size_t device) const;
    std::size_t index_of(const DeviceId& id) const;
    bool allows(std::size_t device, std::size_t other) const;
    std::uint64_t stored_counter(std::size_t device) const;
    void fail_storing(std::size_t device, bool fails);

    /// Everything a device was told, as "joined 1", "lost 1", "root 2", "no root".
    std::vector<std::string>& events(std::size_t device);
    std::size_t count_events(std::size_t device, const std::string& event) const;
    std::vector<std::string>& messages(std::size_t device);
    /// The root in the eyes of a device; nothing while it has none.
    std::optional<std::size_t> root(std::size_t device) const;
    /// The root that all of these agree on, in one term; they see each other, and nobody else.
    std::optional<std::size_t> common_root(const std::vector<std::size_t>& devices) const;

    std::vector<Beacon>& recorded() { return recorded_; }
    void inject(std::size_t device, const Beacon& beacon);

  private:
    struct Message {
        mesh::transport::Incoming::Kind kind = mesh::transport::Incoming::Kind::message;
        DeviceId from;
        std::vector<std::byte> bytes;
    };
    struct Host;
    struct Link;
    struct Transport;
    struct Delivery {
        Time at;
        std::uint64_t order;
        std::size_t to;
        std::uint64_t start;  ///< of the receiver's process
        std::variant<Message, Beacon> what;
        mesh::PublicKey sender{};
        std::optional<std::size_t> held_from{};  ///< it waits until it reaches the receiver
        bool operator>(const Delivery& other) const {
            return std::tie(at, order) > std::tie(other.at, other.order);
        }
    };

    bool is_lost() { return std::uniform_real_distribution<>(0, 1)(random_) < loss_; }
    Time arrival() {
        return now_ + microseconds(std::uniform_int_distribution<>(100, 3000)(random_));
    }
    void deliver(Delivery delivery);
    void step(Time until);

    std::mt19937_64 random_;
    Time now_{std::chrono::hours(1)};
    double loss_ = 0;
    bool holds_ = false;
    Lost lose_;  ///< the next application message gets lost
    std::function<bool(std::size_t, std::size_t)> reachable_ = [](auto, auto) { return true; };
    std::vector<std::unique_ptr<Host>> hosts_;
    std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> in_flight_;
    std::uint64_t order_ = 0;
    std::vector<Beacon> recorded_;
};

struct MemoryNetwork::Link : mesh::discovery::BeaconLink {
    Link(MemoryNetwork& net, std::size_t own) : network(net), self(own) {}
    void announce(std::span<const std::byte> bytes) override;
    void send(const mesh::discovery::Endpoint& to, std::span<const std::byte> bytes) override;
    std::optional<mesh::discovery::Datagram> receive() override;
    std::vector<int> descriptors() const override { return {}; }
    void send_to(std::size_t to, std::span<const std::byte> bytes);

    MemoryNetwork& network;
    std::size_t self;
    std::deque<Beacon> inbox;
    Beacon current;
};

struct MemoryNetwork::Transport : mesh::transport::Transport {
    Transport(MemoryNetwork& net, std::size_t own) : network(net), self(own) {}
    bool connect(const DeviceId& id, const mesh::PublicKey& key, const std::string& host,
                 std::uint16_t port) override;
    void disconnect(const DeviceId& id, const mesh::PublicKey& key) noexcept override;
    bool send(const DeviceId& to, mesh::wire::Lane lane, std::span<const std::byte> header,
              std::span<const std::byte> body) override;
    std::optional<mesh::transport::Incoming> receive() override;
    std::vector<int> descriptors() const override { return {}; }

    struct Connection {
        std::size_t to = 0;
        std::uint64_t start = 0;
        std::array<Time, mesh::wire::kLanes> latest{};  ///< arrivals keep their order on a lane
    };
    MemoryNetwork& network;
    std::size_t self;
    std::map<DeviceId, Connection> connections;
    std::deque<Message> inbox;
    Message current;
};

struct MemoryNetwork::Host {
    mesh::Identity identity;
    Options options;
    std::uint64_t start = 0;  ///< how often it was started
    std::uint64_t counter = 0;
    milliseconds queueing{0};  ///< of application messages
    bool storing_fails = false;
    std::set<mesh::PublicKey> allowed;
    std::vector<std::string> events, messages;
    std::unique_ptr<Link> link;
    std::unique_ptr<Transport> transport;
    std::unique_ptr<mesh::NodeCore> core;
};

}  // namespace shoal::tests
