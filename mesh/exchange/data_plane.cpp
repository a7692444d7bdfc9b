#include "mesh/exchange/data_plane.hpp"

#include <cassert>
#include <optional>
#include <stdexcept>
#include <utility>
#include <zmq.hpp>

#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/publisher.hpp"
#include "mesh/exchange/solo_exchange.hpp"
#include "mesh/exchange/zmq_exchange.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal::mesh {

namespace {

using exchange::kEveryone;
using exchange::Link;
using exchange::Publisher;
using exchange::ZmqExchange;

/// Lock-step keeps queues far below this; what matters is that nothing is dropped silently.
constexpr int kQueueFrames = 1000;
/// Connections within a plan are re-made fast: a step waits for them.
constexpr int kReconnectMs = 2, kReconnectMostMs = 100;
/// A busy device may take its time for a handshake, and one given up too early only begins again.
constexpr int kHandshakeMs = 2000;
/// Subscribers send the publisher subscriptions and nothing else.
constexpr std::int64_t kMaxSubscriptionBytes = 4096;
/// A connection whose other end vanished without a word is given up after this many seconds.
constexpr int kKeepAliveIdle = 2, kKeepAliveInterval = 1, kKeepAliveCount = 3;
constexpr int kUnacknowledgedMs = 5000;

void set_common(zmq::socket_t& socket) {
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, kQueueFrames);
    socket.set(zmq::sockopt::rcvhwm, kQueueFrames);
    socket.set(zmq::sockopt::handshake_ivl, kHandshakeMs);
    socket.set(zmq::sockopt::reconnect_ivl, kReconnectMs);
    socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectMostMs);
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepAliveIdle);
    socket.set(zmq::sockopt::tcp_keepalive_intvl, kKeepAliveInterval);
    socket.set(zmq::sockopt::tcp_keepalive_cnt, kKeepAliveCount);
    socket.set(zmq::sockopt::tcp_maxrt, kUnacknowledgedMs);
}

std::uint16_t port_of(const std::string& endpoint) {
    return static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
}

}  // namespace

struct DataPlane::Impl {
    Impl(zmq::context_t& context, const ZmqContext* curve, const DataPlaneOptions& options)
        : zmq(context), security(curve), publisher(bind(options), curve != nullptr) {}

    zmq::socket_t bind(const DataPlaneOptions& options) {
        const std::string address =
            "tcp://" + options.bind + ":" +
            (options.port == 0 ? std::string("*") : std::to_string(options.port));
        try {
            zmq::socket_t socket(zmq, zmq::socket_type::xpub);
            if (security != nullptr) security->configure_server(socket, kDataIoThread);
            set_common(socket);
            socket.set(zmq::sockopt::maxmsgsize, kMaxSubscriptionBytes);
            socket.set(zmq::sockopt::xpub_nodrop, true);
            // Reports the same topic's subscription again: a peer whose old connection has not
            // been noticed to be dead yet is seen when it comes back.
            socket.set(zmq::sockopt::xpub_verbose, true);
            socket.bind(address);
            port = port_of(socket.get(zmq::sockopt::last_endpoint));
            return socket;
        } catch (const zmq::error_t& error) {
            throw std::runtime_error("the data plane cannot listen on " + address + ": " +
                                     error.what());
        }
    }

    /// Subscribes to `peer`. Throws zmq::error_t when its endpoint is none.
    zmq::socket_t connect(const PlanId& plan, std::uint32_t rank, const Peer& peer) {
        zmq::socket_t socket(zmq, zmq::socket_type::sub);
        if (security != nullptr) {
            security->configure_client(socket, peer.public_key, kDataIoThread);
        }
        set_common(socket);
        socket.set(zmq::sockopt::maxmsgsize,
                   static_cast<std::int64_t>(exchange::kHeaderBytes + exchange::kMaxPayloadBytes));
        for (const std::uint32_t to : {kEveryone, rank}) {
            const auto topic = exchange::topic(plan, to);
            socket.set(zmq::sockopt::subscribe, zmq::const_buffer(topic.data(), topic.size()));
        }
        socket.connect(peer.endpoint);
        return socket;
    }

    zmq::context_t& zmq;
    const ZmqContext* security;
    std::uint16_t port = 0;
    Publisher publisher;
    std::optional<PlanId> last_plan;
};

DataPlane::DataPlane(ZmqContext& context, const DataPlaneOptions& options)
    : impl_(std::make_unique<Impl>(context.zmq(), &context, options)) {}
DataPlane::DataPlane(zmq::context_t& context, const DataPlaneOptions& options)
    : impl_(std::make_unique<Impl>(context, nullptr, options)) {}
DataPlane::~DataPlane() = default;

std::uint16_t DataPlane::port() const noexcept {
    return impl_->port;
}

std::string DataPlane::endpoint(const std::string& host) const {
    const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
    return "tcp://" + (bare_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(impl_->port);
}

JoinResult DataPlane::join(const PlanId& plan, std::uint32_t rank, std::vector<Peer> peers,
                           const JoinOptions& options, std::stop_token stop) {
    if (rank >= peers.size() || peers.size() > exchange::kMaxRanks) {
        throw std::invalid_argument("rank " + std::to_string(rank) + " of a plan of " +
                                    std::to_string(peers.size()) + " devices");
    }
    if (peers.size() == 1) {
        return {std::make_unique<exchange::SoloExchange>(std::move(stop)), ExchangeStatus::ok, {}};
    }
    if (impl_->last_plan == plan) {
        throw std::invalid_argument("plan " + std::to_string(plan.number) +
                                    " was joined before; a new one needs a new number");
    }
    impl_->last_plan = plan;
    const DeviceId self = peers[rank].id;
    std::vector<Link> links;
    links.reserve(peers.size() - 1);
    for (std::uint32_t r = 0; r < peers.size(); ++r) {
        if (r == rank) continue;
        const std::string endpoint = peers[r].endpoint;
        try {
            auto socket = impl_->connect(plan, rank, peers[r]);
            links.emplace_back(r, std::move(peers[r]), std::move(socket));
        } catch (const zmq::error_t& error) {
            return {nullptr, ExchangeStatus::aborted,
                    "cannot connect to \"" + endpoint + "\" of rank " + std::to_string(r) + ": " +
                        error.what()};
        }
    }
    auto joined = std::make_unique<ZmqExchange>(impl_->publisher, plan, rank, std::move(links),
                                                options, std::move(stop));
    const auto status = joined->start(self, options.timeout);
    if (status != ExchangeStatus::ok) return {nullptr, status, joined->failure()};
    return {std::move(joined), ExchangeStatus::ok, {}};
}

const DataPlaneStats& DataPlane::stats() const noexcept {
    return impl_->publisher.stats;
}

}  // namespace shoal::mesh
