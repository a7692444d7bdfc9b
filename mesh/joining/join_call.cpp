#include "mesh/joining/join_call.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <zmq.hpp>

#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/transport/zmq_transport.hpp"

namespace shoal::mesh::joining {

namespace {

void send_knock(zmq::socket_t& socket, const std::vector<std::byte>& knock) {
    (void)socket.send(zmq::buffer(knock.data(), knock.size()), zmq::send_flags::dontwait);
}

/// What came, if it is an answer. Nothing else is expected of whoever holds the inviter's key.
std::optional<JoinFrame> receive_answer(zmq::socket_t& socket) {
    zmq::message_t body;
    if (!socket.recv(body, zmq::recv_flags::dontwait)) return std::nullopt;
    const bool is_whole = !body.more();
    while (body.more()) (void)socket.recv(body, zmq::recv_flags::dontwait);
    auto frame = decode_join_frame({body.data<std::byte>(), is_whole ? body.size() : 0});
    if (!frame || std::holds_alternative<Knock>(*frame)) return std::nullopt;
    return *frame;
}

}  // namespace

struct JoinCall::Impl {
    std::vector<std::byte> knock;
    struct Line {
        zmq::socket_t socket;
        Time again = Time::max();  ///< knock once more
    };
    std::vector<Line> lines;
    Time end;
    std::optional<Refusal> refusal;
};

JoinCall::JoinCall(ZmqContext& context, const Invitation& invitation, std::string name, Time now)
    : impl_(std::make_unique<Impl>()) {
    impl_->end = now + kPatience;
    impl_->knock =
        encode(Knock{prove(invitation.secret, invitation.inviter, context.identity().public_key),
                     std::move(name)});
    for (const std::string& address : invitation.addresses) {
        try {
            zmq::socket_t socket(context.zmq(), zmq::socket_type::dealer);
            context.configure_client(socket, invitation.inviter, kControlIoThread);
            socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMaxFrameBytes));
            socket.connect(transport::tcp_endpoint(address, std::to_string(invitation.port)));
            send_knock(socket, impl_->knock);
            impl_->lines.push_back({std::move(socket)});
        } catch (const zmq::error_t&) {
            // Another address may do; with none the time runs out.
        }
    }
}

JoinCall::~JoinCall() = default;

std::vector<int> JoinCall::descriptors() const {
    std::vector<int> all;
    for (const auto& line : impl_->lines) all.push_back(line.socket.get(zmq::sockopt::fd));
    return all;
}

JoinCall::Time JoinCall::next_deadline() const noexcept {
    Time at = impl_->end;
    for (const auto& line : impl_->lines) at = std::min(at, line.again);
    return at;
}

JoinCall::Outcome JoinCall::poll(Time now) {
    for (auto& line : impl_->lines) {
        try {
            if (now >= line.again) {
                line.again = Time::max();
                send_knock(line.socket, impl_->knock);
            }
            const auto answer = receive_answer(line.socket);
            if (!answer) continue;
            if (const auto* welcome = std::get_if<Welcome>(&*answer)) return *welcome;
            const auto& refusal = std::get<Refusal>(*answer);
            if (refusal.reason != Refusal::Reason::busy) return refusal;
            impl_->refusal = refusal;
            line.again = now + kAskAgain;
        } catch (const zmq::error_t&) {
            // Interrupted by a signal; the next turn goes on.
        }
    }
    if (now < impl_->end) return {};
    if (impl_->refusal) return *impl_->refusal;
    return Nobody{};
}

}  // namespace shoal::mesh::joining
