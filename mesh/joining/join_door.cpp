#include "mesh/joining/join_door.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>
#include <zmq.hpp>

#include "mesh/transport/zmq_context.hpp"
#include "mesh/transport/zmq_transport.hpp"
#include "mesh/wire/hex.hpp"

namespace shoal::mesh::joining {

namespace {

/// Frames that wait unread, of each connection.
constexpr int kDoorQueue = 2;
/// How long an answer may take to leave when the door is shut behind it.
constexpr int kDoorLingerMs = 1000;

std::string property(zmq::message_t& message, const char* name) {
    const char* value = zmq_msg_gets(message.handle(), name);
    return value == nullptr ? "" : value;
}

/// An IPv4 address as people write it; the socket is of both families.
std::string host_of(std::string address) {
    constexpr std::string_view kMapped = "::ffff:";
    return address.starts_with(kMapped) ? address.substr(kMapped.size()) : address;
}

}  // namespace

struct JoinDoor::Impl {
    explicit Impl(ZmqContext& context) : router(context.zmq(), zmq::socket_type::router) {}
    zmq::socket_t router;
    std::uint16_t port = 0;
};

JoinDoor::JoinDoor(ZmqContext& context, const std::string& address)
    : impl_(std::make_unique<Impl>(context)) {
    zmq::socket_t& router = impl_->router;
    context.configure_open_server(router, kControlIoThread);
    router.set(zmq::sockopt::linger, kDoorLingerMs);
    router.set(zmq::sockopt::rcvhwm, kDoorQueue);
    router.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMaxFrameBytes));
    try {
        router.bind(transport::tcp_endpoint(address, "*"));
    } catch (const zmq::error_t& error) {
        throw std::runtime_error("cannot listen for invited devices at " + address + ": " +
                                 error.what());
    }
    const std::string bound = router.get(zmq::sockopt::last_endpoint);
    impl_->port = static_cast<std::uint16_t>(std::stoul(bound.substr(bound.rfind(':') + 1)));
}

JoinDoor::~JoinDoor() = default;

std::uint16_t JoinDoor::port() const noexcept {
    return impl_->port;
}

int JoinDoor::descriptor() const {
    return impl_->router.get(zmq::sockopt::fd);
}

std::optional<JoinDoor::Caller> JoinDoor::receive() {
    try {
        zmq::message_t routing, body;
        if (!impl_->router.recv(routing, zmq::recv_flags::dontwait)) return std::nullopt;
        std::size_t parts = 0;
        for (bool more = routing.more(); more; more = body.more()) {
            (void)impl_->router.recv(body, zmq::recv_flags::dontwait);
            ++parts;
        }
        Caller caller{routing.to_string(),
                      {},
                      host_of(property(body, "Peer-Address")),
                      decode_join_frame({body.data<std::byte>(), parts == 1 ? body.size() : 0})};
        if (!wire::from_hex(property(body, "User-Id"), caller.key)) {
            caller.frame = wire::DecodeError{wire::DecodeError::Reason::bad_value, "key"};
        }
        return caller;
    } catch (const zmq::error_t&) {
        return std::nullopt;  // Interrupted by a signal; the next turn goes on.
    }
}

void JoinDoor::answer(const std::string& connection, const JoinFrame& frame) noexcept {
    try {
        const std::vector<std::byte> bytes = encode(frame);
        const auto flags = zmq::send_flags::dontwait | zmq::send_flags::sndmore;
        if (!impl_->router.send(zmq::buffer(connection), flags)) return;
        (void)impl_->router.send(zmq::buffer(bytes.data(), bytes.size()),
                                 zmq::send_flags::dontwait);
    } catch (const std::exception&) {
        // The caller has gone.
    }
}

}  // namespace shoal::mesh::joining
