#include "mesh/transport/zmq_transport.hpp"

#include <array>
#include <cstring>
#include <map>
#include <stdexcept>
#include <utility>
#include <zmq.hpp>

#include "mesh/transport/zmq_context.hpp"

namespace shoal::mesh::transport {

namespace {

/// Room for the header of an application message.
constexpr std::size_t kHeaderRoom = 256;
static_assert(wire::kMaxApplicationBytes + kHeaderRoom <= std::size_t{kMaxMessageBytes});
static_assert(wire::kMaxControlBytes <= std::size_t{kMaxMessageBytes});

constexpr std::array<int, wire::kLanes> kQueues{kMembershipQueue, kSmallQueue, kBulkQueue};

/// The connections to one device.
struct Peer {
    PublicKey key{};
    std::string endpoint;
    std::array<zmq::socket_t, wire::kLanes> lanes;  ///< opened when first used
    zmq::socket_t monitor;                          ///< tells when the membership lane breaks
};

}  // namespace

std::string tcp_endpoint(const std::string& host, const std::string& port) {
    std::string endpoint = "tcp://";
    const bool is_v6 = host.find(':') != std::string::npos;
    endpoint.append(is_v6 ? "[" : "").append(host).append(is_v6 ? "]:" : ":").append(port);
    return endpoint;
}

struct ZmqTransport::Impl {
    explicit Impl(ZmqContext& ctx) : context(ctx), router(ctx.zmq(), zmq::socket_type::router) {}

    void listen(const std::string& address, std::uint16_t wanted) {
        context.configure_server(router, kControlIoThread);
        router.set(zmq::sockopt::rcvhwm, kReceiveQueue);
        const std::string endpoint =
            tcp_endpoint(address, wanted == 0 ? "*" : std::to_string(wanted));
        try {
            router.bind(endpoint);
        } catch (const zmq::error_t& error) {
            throw std::runtime_error("cannot listen for other devices at " + address + " port " +
                                     (wanted == 0 ? "any" : std::to_string(wanted)) + ": " +
                                     error.what() +
                                     "; is the address this machine's and the port free?");
        }
        const std::string bound = router.get(zmq::sockopt::last_endpoint);
        port = static_cast<std::uint16_t>(std::stoul(bound.substr(bound.rfind(':') + 1)));
    }

    zmq::socket_t& open(Peer& peer, wire::Lane lane) {
        zmq::socket_t& socket = peer.lanes[static_cast<std::size_t>(lane)];
        if (socket) return socket;
        zmq::socket_t fresh(context.zmq(), zmq::socket_type::dealer);
        context.configure_client(fresh, peer.key, kControlIoThread);
        fresh.set(zmq::sockopt::sndhwm, kQueues[static_cast<std::size_t>(lane)]);
        fresh.set(zmq::sockopt::rcvhwm, 1);
        if (lane == wire::Lane::membership) watch(peer, fresh);
        fresh.connect(peer.endpoint);
        return socket = std::move(fresh);
    }

    void watch(Peer& peer, zmq::socket_t& socket) {
        const std::string name = "inproc://shoal-monitor-" + std::to_string(next_monitor++);
        if (zmq_socket_monitor(socket.handle(), name.c_str(), ZMQ_EVENT_DISCONNECTED) != 0) {
            throw zmq::error_t();
        }
        peer.monitor = zmq::socket_t(context.zmq(), zmq::socket_type::pair);
        peer.monitor.set(zmq::sockopt::linger, 0);
        peer.monitor.connect(name);
    }

    /// A message on the ROUTER that names its sender; others are skipped.
    bool receive_message(Incoming& incoming) {
        zmq::message_t routing;
        while (router.recv(routing, zmq::recv_flags::dontwait)) {
            bool more = routing.more();
            if (more) {
                (void)router.recv(current, zmq::recv_flags::dontwait);
                more = current.more();
            }
            const bool is_single = !more;
            for (zmq::message_t surplus; more; more = surplus.more()) {
                (void)router.recv(surplus, zmq::recv_flags::dontwait);
            }
            const char* user = zmq_msg_gets(current.handle(), "User-Id");
            const auto sender = ZmqContext::sender_of(user);
            if (!is_single || !sender) continue;
            incoming = {
                Incoming::Kind::message, *sender, {current.data<std::byte>(), current.size()}};
            return true;
        }
        return false;
    }

    bool receive_break(Incoming& incoming) {
        for (auto& [id, peer] : peers) {
            if (!peer.monitor) continue;
            zmq::message_t event, address;
            if (!peer.monitor.recv(event, zmq::recv_flags::dontwait)) continue;
            if (event.more()) (void)peer.monitor.recv(address, zmq::recv_flags::dontwait);
            incoming = {Incoming::Kind::broken, id, {}};
            return true;
        }
        return false;
    }

    ZmqContext& context;
    zmq::socket_t router;
    std::uint16_t port = 0;
    std::map<DeviceId, Peer> peers;
    zmq::message_t current;
    std::uint64_t next_monitor = 0;
};

ZmqTransport::ZmqTransport(ZmqContext& context, const std::string& address, std::uint16_t port)
    : impl_(std::make_unique<Impl>(context)) {
    impl_->listen(address, port);
}

ZmqTransport::~ZmqTransport() {
    for (const auto& [id, peer] : impl_->peers) impl_->context.revoke(peer.key);
}

std::uint16_t ZmqTransport::port() const noexcept {
    return impl_->port;
}

bool ZmqTransport::connect(const DeviceId& id, const PublicKey& key, const std::string& host,
                           std::uint16_t port) {
    disconnect(id, key);
    if (!impl_->context.allow(key)) return false;
    Peer& peer = impl_->peers[id];
    peer.key = key;
    peer.endpoint = tcp_endpoint(host, std::to_string(port));
    try {
        impl_->open(peer, wire::Lane::membership);
        return true;
    } catch (const zmq::error_t&) {
        disconnect(id, key);  // Too many sockets, or an address that libzmq cannot read.
        return false;
    }
}

void ZmqTransport::disconnect(const DeviceId& id, const PublicKey& key) noexcept {
    const auto it = impl_->peers.find(id);
    if (it == impl_->peers.end()) return;
    impl_->context.revoke(key);
    zmq::socket_t& membership = it->second.lanes[static_cast<std::size_t>(wire::Lane::membership)];
    if (membership) {
        const int linger = kFarewellMs;
        (void)zmq_setsockopt(membership.handle(), ZMQ_LINGER, &linger, sizeof linger);
    }
    impl_->peers.erase(it);
}

bool ZmqTransport::send(const DeviceId& to, wire::Lane lane, std::span<const std::byte> header,
                        std::span<const std::byte> body) {
    const auto it = impl_->peers.find(to);
    if (it == impl_->peers.end()) return false;
    try {
        zmq::socket_t& socket = impl_->open(it->second, lane);
        zmq::message_t message(header.size() + body.size());
        std::memcpy(message.data(), header.data(), header.size());
        if (!body.empty()) {
            std::memcpy(message.data<std::byte>() + header.size(), body.data(), body.size());
        }
        return socket.send(message, zmq::send_flags::dontwait).has_value();
    } catch (const zmq::error_t&) {
        return false;
    }
}

std::optional<Incoming> ZmqTransport::receive() {
    Incoming incoming;
    try {
        if (impl_->receive_message(incoming) || impl_->receive_break(incoming)) return incoming;
    } catch (const zmq::error_t&) {
        // Interrupted by a signal; the next poll goes on.
    }
    return std::nullopt;
}

std::vector<int> ZmqTransport::descriptors() const {
    std::vector<int> all{impl_->router.get(zmq::sockopt::fd)};
    for (const auto& [id, peer] : impl_->peers) {
        if (peer.monitor) all.push_back(peer.monitor.get(zmq::sockopt::fd));
    }
    return all;
}

}  // namespace shoal::mesh::transport
