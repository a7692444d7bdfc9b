#include "mesh/exchange/zmq_port.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/poll.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal::mesh::exchange {

namespace {

using std::chrono::milliseconds;

/// The publisher's descriptor signals edges, which a send may swallow; so after a send the
/// publisher is looked at after this time at the latest.
constexpr milliseconds kPublisherCheck{5};

void set_common(zmq::socket_t& socket) {
    socket.set(zmq::sockopt::ipv6, true);  // Both families, in clear as with security.
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, static_cast<int>(kQueueFrames));
    socket.set(zmq::sockopt::rcvhwm, static_cast<int>(kQueueFrames));
    socket.set(zmq::sockopt::handshake_ivl, static_cast<int>(kDataHandshakeTimeout.count()));
    socket.set(zmq::sockopt::reconnect_ivl, static_cast<int>(kReconnect.count()));
    socket.set(zmq::sockopt::reconnect_ivl_max, static_cast<int>(kReconnectAtMost.count()));
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepAliveIdle);
    socket.set(zmq::sockopt::tcp_keepalive_intvl, kKeepAliveInterval);
    socket.set(zmq::sockopt::tcp_keepalive_cnt, kKeepAliveCount);
    socket.set(zmq::sockopt::tcp_maxrt, kUnacknowledgedMs);
}

std::uint16_t port_of(const std::string& endpoint) {
    return static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
}

struct ZmqBuffer : Buffer {
    explicit ZmqBuffer(zmq::message_t m) : message(std::move(m)) {
        bytes = {message.data<std::byte>(), message.size()};
    }
    zmq::message_t message;
};

}  // namespace

ZmqPort::ZmqPort(Publisher& publisher, const Place& place, std::vector<zmq::socket_t> subscribers,
                 std::stop_token stop)
    : publisher_(publisher), plan_(place.plan), stop_(std::move(stop)) {
    descriptors_.push_back({stop_.descriptor(), POLLIN, 0});
    descriptors_.push_back({publisher_.descriptor(), POLLIN, 0});
    for (std::uint32_t r = 0; r < subscribers.size(); ++r) {
        const bool own = r == place.rank;
        // poll() ignores what is no descriptor.
        const int descriptor = own ? -1 : subscribers[r].get(zmq::sockopt::fd);
        descriptors_.push_back({descriptor, POLLIN, 0});
        sources_.push_back({place.devices[r].id, std::move(subscribers[r]), own, 0});
    }
    notice_subscriptions();
    for (std::uint32_t r = 0; r < sources_.size(); ++r) {
        // Whoever was quicker may have subscribed while the last plan ran.
        Source& source = sources_[r];
        if (source.connection == 0 && publisher_.is_subscribed(topic(plan_, r), source.id)) {
            source.connection = ++connections_;
        }
    }
}

Frame ZmqPort::make(std::size_t size) {
    return std::make_shared<ZmqBuffer>(zmq::message_t(size));
}

/// The frame begins with its topic, which says to libzmq whom it is for.
bool ZmqPort::send(std::uint32_t /*to*/, const Frame& frame) {
    zmq::message_t shared;
    shared.copy(static_cast<ZmqBuffer&>(*frame).message);  // counts a reference
    publisher_dirty_ = true;
    return publisher_.send(shared);
}

Frame ZmqPort::receive(std::uint32_t from) {
    Source& source = sources_[from];
    while (!source.drained) {
        if (zmq_msg_recv(incoming_.handle(), source.socket.handle(), ZMQ_DONTWAIT) >= 0) {
            return std::make_shared<ZmqBuffer>(std::move(incoming_));
        }
        source.drained = zmq_errno() != EINTR;
    }
    return nullptr;
}

void ZmqPort::wait(Clock::duration at_most) {
    const bool drained = std::all_of(sources_.begin(), sources_.end(),
                                     [](const Source& source) { return source.drained; });
    if (publisher_dirty_) at_most = std::min<Clock::duration>(at_most, kPublisherCheck);
    if (!drained) at_most = Clock::duration::zero();
    const int ready = poll_for(descriptors_, at_most);
    if (ready < 0) return;  // a signal
    for (std::size_t r = 0; r < sources_.size(); ++r) {
        if (descriptors_[r + 2].revents != 0) sources_[r].drained = false;
    }
    if (descriptors_[1].revents != 0 || (ready == 0 && at_most > Clock::duration::zero()))
        notice_subscriptions();
}

/// A peer whose connection was re-made subscribes again. Its own topic comes last, so whoever is
/// subscribed to that gets what is for everyone, too.
void ZmqPort::notice_subscriptions() {
    changes_.clear();
    publisher_.drain(changes_);
    publisher_dirty_ = false;
    for (const Publisher::Change& change : changes_) {
        std::uint32_t rank = kEveryone;
        const auto bytes = std::as_bytes(std::span(change.topic));
        if (!parse_topic(bytes, plan_, rank) || rank >= sources_.size()) continue;
        Source& source = sources_[rank];
        if (!publisher_.is_subscribed(bytes, source.id)) {
            source.connection = 0;
        } else if (change.begun) {
            source.connection = ++connections_;
        }
    }
}

ZmqPortMaker::ZmqPortMaker(zmq::context_t& context, const ZmqContext* security,
                           const DataPlaneOptions& options)
    : zmq_(context), security_(security), publisher_(bind(options), security != nullptr) {}

zmq::socket_t ZmqPortMaker::bind(const DataPlaneOptions& options) {
    const std::string address =
        "tcp://" + options.bind + ":" +
        (options.port == 0 ? std::string("*") : std::to_string(options.port));
    try {
        zmq::socket_t socket(zmq_, zmq::socket_type::xpub);
        if (security_ != nullptr) security_->configure_server(socket, kDataIoThread);
        set_common(socket);
        socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMaxSubscriptionBytes));
        socket.set(zmq::sockopt::xpub_nodrop, true);
        // Reports the same topic's subscription again: a peer whose old connection has not been
        // noticed to be dead yet is seen when it comes back.
        socket.set(zmq::sockopt::xpub_verbose, true);
        socket.bind(address);
        port_ = port_of(socket.get(zmq::sockopt::last_endpoint));
        return socket;
    } catch (const zmq::error_t& error) {
        throw std::runtime_error("the data plane cannot listen on " + address + ": " +
                                 error.what());
    }
}

zmq::socket_t ZmqPortMaker::connect(const Place& place, std::uint32_t rank) {
    const Peer& peer = place.devices[rank];
    zmq::socket_t socket(zmq_, zmq::socket_type::sub);
    if (security_ != nullptr) {
        security_->configure_client(socket, peer.public_key, kDataIoThread);
    }
    set_common(socket);
    socket.set(zmq::sockopt::maxmsgsize,
               static_cast<std::int64_t>(kHeaderBytes + kMaxPayloadBytes));
    for (const std::uint32_t to : {kEveryone, place.rank}) {
        const auto wanted = topic(place.plan, to);
        socket.set(zmq::sockopt::subscribe, zmq::const_buffer(wanted.data(), wanted.size()));
    }
    try {
        socket.connect(peer.endpoint);
    } catch (const zmq::error_t& error) {
        throw BadEndpoint(rank, error.what());
    }
    return socket;
}

std::unique_ptr<WaitingPort> ZmqPortMaker::open(const Place& place, DataPlaneStats& /*stats*/,
                                                std::stop_token stop) {
    std::vector<zmq::socket_t> subscribers(place.devices.size());
    for (std::uint32_t r = 0; r < subscribers.size(); ++r) {
        if (r != place.rank) subscribers[r] = connect(place, r);
    }
    return std::make_unique<ZmqPort>(publisher_, place, std::move(subscribers), std::move(stop));
}

}  // namespace shoal::mesh::exchange
