#include "mesh/transport/zmq_transport.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <stdexcept>
#include <utility>
#include <zmq.hpp>

#include "mesh/transport/socket_monitor.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/wire/host_text.hpp"

namespace shoal::mesh::transport {

namespace {

/// Room for the header of an application message.
constexpr std::size_t kHeaderRoom = 256;
static_assert(wire::kMaxApplicationBytes + kHeaderRoom <= std::size_t{kMaxMessageBytes});
static_assert(wire::kMaxControlBytes <= std::size_t{kMaxMessageBytes});

constexpr std::array<int, wire::kLanes> kQueues{kMembershipQueue, kSmallQueue, kBulkQueue};

/// The connections to one device. The monitor stands last, so that it ends first.
struct Peer {
    PublicKey key{};
    std::string endpoint;
    std::array<zmq::socket_t, wire::kLanes> lanes;  ///< opened when first used
    SocketMonitor monitor;                          ///< tells when the membership lane breaks
};

}  // namespace

std::string tcp_endpoint(const std::string& host, const std::string& port) {
    return "tcp://" + wire::bracketed(host) + ":" + port;
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
        peer.monitor = SocketMonitor(context.zmq(), socket, name, ZMQ_EVENT_DISCONNECTED);
    }

    /// The next message on the ROUTER. One of several parts is none of ours; it is reported empty,
    /// which is malformed, rather than skipped here: whoever floods us with them shall not keep us.
    bool receive_message(Incoming& incoming) {
        zmq::message_t routing;
        if (!router.recv(routing, zmq::recv_flags::dontwait)) return false;
        std::size_t parts = 0;
        for (bool more = routing.more(); more; more = current.more()) {
            (void)router.recv(current, zmq::recv_flags::dontwait);
            ++parts;
        }
        if (parts != 1) current.rebuild();
        const auto sender = ZmqContext::sender_of(zmq_msg_gets(current.handle(), "User-Id"));
        incoming = {Incoming::Kind::message,
                    sender.value_or(DeviceId()),
                    {current.data<std::byte>(), current.size()}};
        return true;
    }

    bool receive_break(Incoming& incoming) {
        for (auto& [id, peer] : peers) {
            if (!peer.monitor || !peer.monitor.take()) continue;
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
        const auto rest = std::copy(header.begin(), header.end(), message.data<std::byte>());
        std::copy(body.begin(), body.end(), rest);
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
        if (peer.monitor) all.push_back(peer.monitor.descriptor());
    }
    return all;
}

}  // namespace shoal::mesh::transport
