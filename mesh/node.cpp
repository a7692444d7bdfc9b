#include "mesh/node.hpp"

#include <sodium.h>

#include <stdexcept>
#include <utility>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/discovery/udp_link.hpp"
#include "mesh/node_core.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/term_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/transport/zmq_transport.hpp"

namespace shoal::mesh {

namespace {

void check(const NodeConfig& config) {
    if (config.heartbeat < std::chrono::milliseconds(10)) {
        throw std::runtime_error("heartbeat must be at least 10 ms");
    }
    if (config.suspect_after < 2 * config.heartbeat) {
        throw std::runtime_error("suspect_after must be at least two heartbeats");
    }
    if (config.dead_after <= config.suspect_after) {
        throw std::runtime_error("dead_after must be longer than suspect_after");
    }
    if (config.beacon_port == 0) throw std::runtime_error("beacon_port must not be 0");
    if (config.state_dir.empty()) throw std::runtime_error("state_dir must not be empty");
}

NodeCoreSettings settings_of(const Identity& identity, const ClusterKey& key,
                             const NodeConfig& config, DeviceDescription self,
                             std::uint16_t control_port) {
    NodeCoreSettings settings;
    settings.public_key = identity.public_key;
    settings.beacon_key = key.beacon_key();
    settings.control_port = control_port;
    settings.address = config.bind == "*" ? "127.0.0.1" : config.bind;
    settings.self = std::move(self);
    settings.membership.heartbeat = config.heartbeat;
    settings.membership.suspect_after = config.suspect_after;
    settings.membership.dead_after = config.dead_after;
    settings.membership.broken_after =
        std::min(settings.membership.broken_after, config.dead_after);
    settings.stored_counter = transport::load_term_counter(config.state_dir);
    return settings;
}

/// The core on real sockets and the real clock.
class ZmqNode : public Node {
  public:
    ZmqNode(ZmqContext& context, const Identity& identity, const ClusterKey& key,
            const NodeConfig& config, DeviceDescription self, Callbacks callbacks)
        : transport_(context, config.bind, config.port),
          link_({config.beacon_port, config.multicast, config.interfaces, config.peers}),
          core_(
              settings_of(identity, key, config, std::move(self), transport_.port()), transport_,
              link_,
              [this, dir = config.state_dir](std::uint64_t counter) {
                  return store_counter(dir, counter);
              },
              [](std::span<std::uint8_t> bytes) { randombytes_buf(bytes.data(), bytes.size()); },
              std::move(callbacks), std::chrono::steady_clock::now()) {}

    std::vector<int> descriptors() const override {
        std::vector<int> all = transport_.descriptors();
        const std::vector<int> beacons = link_.descriptors();
        all.insert(all.end(), beacons.begin(), beacons.end());
        return all;
    }
    std::chrono::steady_clock::time_point next_deadline() const override {
        return core_.next_deadline();
    }
    void poll() override { core_.poll(std::chrono::steady_clock::now()); }
    std::uint16_t port() const noexcept override { return transport_.port(); }
    const DeviceId& self() const noexcept override { return core_.self(); }
    std::optional<DeviceId> root() const noexcept override { return core_.root(); }
    Term term() const noexcept override { return core_.term(); }
    std::vector<Member> members() const override { return core_.members(); }
    bool send(const DeviceId& to, std::span<const std::byte> bytes) override {
        return core_.send(to, bytes);
    }
    void describe(DeviceDescription self) override {
        core_.describe(std::move(self), std::chrono::steady_clock::now());
    }
    std::vector<messages::Warning> warnings() const override {
        std::vector<messages::Warning> all = core_.warnings(std::chrono::steady_clock::now());
        for (messages::Warning& warning : link_.warnings()) {
            warning.device = core_.self().hex();
            all.push_back(std::move(warning));
        }
        if (!unstored_.empty() && !core_.root()) {
            all.push_back({"state-not-stored", messages::Severity::error, core_.self().hex(),
                           "it cannot lead, and no other device does: " + unstored_,
                           "make room there, or give the folder to the daemon's user"});
        }
        return all;
    }
    void enter(const ClusterKey& key) override {
        core_.enter(key.beacon_key(), std::chrono::steady_clock::now());
    }
    void set_keys(const std::vector<ClusterKey>& keys,
                  std::function<bool(const PublicKey&)> is_known) override {
        std::vector<wire::BeaconKey> beacon_keys;
        for (const ClusterKey& key : keys) beacon_keys.push_back(key.beacon_key());
        core_.set_keys(std::move(beacon_keys), std::move(is_known),
                       std::chrono::steady_clock::now());
    }
    void refuse(std::set<DeviceId> devices) override {
        core_.refuse(std::move(devices), std::chrono::steady_clock::now());
    }
    void leave() noexcept override { core_.leave(std::chrono::steady_clock::now()); }

  private:
    bool store_counter(const std::filesystem::path& dir, std::uint64_t counter) noexcept {
        try {
            transport::store_term_counter(dir, counter);
            unstored_.clear();
        } catch (const std::exception& error) {
            unstored_ = error.what();
        }
        return unstored_.empty();
    }

    std::string unstored_;  ///< why the last term could not be stored
    transport::ZmqTransport transport_;
    discovery::UdpLink link_;
    NodeCore core_;
};

}  // namespace

std::unique_ptr<Node> Node::start(ZmqContext& context, const Identity& identity,
                                  const ClusterKey& key, NodeConfig config, DeviceDescription self,
                                  Callbacks callbacks) {
    try {
        check(config);
        if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start");
        if (context.identity().id != identity.id) {
            throw std::runtime_error("the ZeroMQ context was made for another identity");
        }
        return std::make_unique<ZmqNode>(context, identity, key, config, std::move(self),
                                         std::move(callbacks));
    } catch (const std::exception&) {
        std::throw_with_nested(std::runtime_error("cannot start the mesh"));
    }
}

}  // namespace shoal::mesh
