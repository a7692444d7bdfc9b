// A device that invites, on real sockets, and those who knock: loopback, one process, one thread.
#include "daemon/contact/host.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "mesh/joining/join_call.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace host_test {

using namespace shoal;
using namespace shoal::mesh::joining;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::InviteReply;

namespace {

/// A socket with a key pair of its own.
zmq::socket_t stranger(mesh::ZmqContext& context, const Invitation& invitation,
                       mesh::PublicKey* key = nullptr) {
    zmq::socket_t socket(context.zmq(), zmq::socket_type::dealer);
    context.configure_client(socket, invitation.inviter, mesh::kControlIoThread);
    const mesh::Identity own = mesh::generate_identity();
    socket.set(zmq::sockopt::curve_publickey,
               zmq::const_buffer(own.public_key.data(), own.public_key.size()));
    socket.set(zmq::sockopt::curve_secretkey,
               zmq::const_buffer(own.secret_key.data(), own.secret_key.size()));
    socket.connect("tcp://127.0.0.1:" + std::to_string(invitation.port));
    if (key != nullptr) *key = own.public_key;
    return socket;
}

void say(zmq::socket_t& socket, const std::vector<std::byte>& bytes) {
    (void)socket.send(zmq::buffer(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
}

struct Inviter {
    mesh::Identity identity = mesh::generate_identity();
    mesh::ZmqContext context{identity};
    const mesh::ClusterKey key = mesh::generate_cluster_key();
    std::vector<std::string> addresses{"127.0.0.1"};
    std::vector<mesh::DeviceId> admitted;
    std::vector<std::pair<std::uint16_t, bool>> guarded;
    std::vector<mesh::messages::Warning> warnings;
    Host host{context, links()};

    mesh::Identity other = mesh::generate_identity();
    mesh::ZmqContext others{other};

    Host::Links links() {
        Host::Links links;
        links.name = [] { return std::string("desk"); };
        links.bind = "127.0.0.1";
        links.key = [this] { return key; };
        links.admitted = [this](const mesh::DeviceId& id) { admitted.push_back(id); };
        links.addresses = [this] { return addresses; };
        links.guard = [this](std::uint16_t port, bool open) { guarded.emplace_back(port, open); };
        links.warn = [this](mesh::messages::Warning w) { warnings.push_back(std::move(w)); };
        links.unwarn = [](const std::string&) {};
        return links;
    }
    Event asked() {
        std::optional<Event> said;
        host.invite([&](const Event& event) { said = event; });
        REQUIRE(said);
        return *said;
    }
    Invitation invited() {
        std::string why;
        const auto read = parse_invitation(std::get<InviteReply>(asked()).invitation, why);
        REQUIRE(read);
        return *read;
    }
    bool poll_until(const std::function<bool()>& done, std::chrono::milliseconds at_most) {
        const auto end = Clock::now() + at_most;
        while (!done()) {
            if (Clock::now() >= end) return false;
            host.poll();
            std::this_thread::sleep_for(1ms);
        }
        return true;
    }
    /// What a stranger hears.
    std::optional<JoinFrame> answer(zmq::socket_t& socket, std::chrono::milliseconds at_most) {
        zmq::message_t body;
        if (!poll_until([&] { return socket.recv(body, zmq::recv_flags::dontwait).has_value(); },
                        at_most)) {
            return std::nullopt;
        }
        const auto frame = decode_join_frame({body.data<std::byte>(), body.size()});
        REQUIRE(static_cast<bool>(frame));
        return *frame;
    }
    JoinCall::Outcome joined(const Invitation& invitation) {
        JoinCall call(others, invitation, "kitchen", Clock::now());
        JoinCall::Outcome outcome;
        (void)poll_until(
            [&] {
                outcome = call.poll(Clock::now());
                return !std::holds_alternative<std::monostate>(outcome);
            },
            20s);
        return outcome;
    }
};

}  // namespace

TEST_SUITE("host") {
    TEST_CASE_FIXTURE(Inviter, "whoever proves the secret gets the key, and is told of") {
        const Invitation invitation = invited();
        CHECK(guarded == std::vector<std::pair<std::uint16_t, bool>>{{invitation.port, true}});
        const auto outcome = joined(invitation);
        REQUIRE(std::holds_alternative<Welcome>(outcome));
        CHECK(std::get<Welcome>(outcome).cluster_key == key.secret);
        CHECK(std::get<Welcome>(outcome).name == "desk");
        CHECK(admitted == std::vector{other.id});
        host.close();
        CHECK(guarded.back() == std::pair<std::uint16_t, bool>{invitation.port, false});
        CHECK(host.descriptors().empty());
        CHECK(host.next_deadline() == Loop::Time::max());
    }

    TEST_CASE_FIXTURE(Inviter, "an invitation names its addresses as people write them") {
        addresses = {"10.0.0.5", "2001:db8::5"};
        const auto reply = std::get<InviteReply>(asked());
        std::string why;
        const auto line = parse_invitation(reply.invitation, why);
        REQUIRE(line);
        CHECK(line->addresses == addresses);
        const std::string port = ":" + std::to_string(line->port);
        CHECK(reply.addresses ==
              std::vector<std::string>{"10.0.0.5" + port, "[2001:db8::5]" + port});
        addresses.clear();
        const auto failed = std::get<Failed>(asked());
        CHECK(failed.message.find("no address on a network") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Inviter, "another version is told so, and what is no knock gets nothing") {
        const Invitation invitation = invited();
        zmq::socket_t newer = stranger(others, invitation);
        auto knock = encode(Knock{});
        knock[0] = std::byte{2};
        say(newer, knock);
        const auto told = answer(newer, 5s);
        REQUIRE(told);
        CHECK(*told == JoinFrame(Refusal{Refusal::Reason::version}));
        zmq::socket_t noise = stranger(others, invitation);
        say(noise, {std::byte{1}, std::byte{77}});
        say(noise, {});
        CHECK_FALSE(answer(noise, 300ms));
        // Who claims to be the inviter is wrong like anybody.
        zmq::socket_t mirror = stranger(others, invitation);
        say(mirror, encode(Welcome{}));
        const auto refused = answer(mirror, 5s);
        REQUIRE(refused);
        CHECK(*refused == JoinFrame(Refusal{}));
        CHECK(admitted.empty());
    }

    TEST_CASE_FIXTURE(Inviter,
                      "a flood of guesses gets nothing, and lets others in when it is over") {
        const Invitation invitation = invited();
        std::list<zmq::socket_t> flood;
        for (int i = 0; i < 20; ++i) flood.push_back(stranger(others, invitation));
        int refused = 0, busy = 0;
        const auto end = Clock::now() + 2s;
        while (Clock::now() < end) {
            Knock knock;
            randombytes_buf(knock.proof.data(), knock.proof.size());
            for (zmq::socket_t& socket : flood) {
                say(socket, encode(knock));
                zmq::message_t body;
                while (socket.recv(body, zmq::recv_flags::dontwait)) {
                    const auto frame = decode_join_frame({body.data<std::byte>(), body.size()});
                    REQUIRE(static_cast<bool>(frame));
                    const auto reason = std::get<Refusal>(*frame).reason;
                    ++(reason == Refusal::Reason::busy ? busy : refused);
                }
            }
            host.poll();
        }
        CHECK(admitted.empty());
        // The burst of an address, and one a second.
        CHECK(refused <= 8);
        CHECK(busy > 100);
        flood.clear();
        const auto outcome = joined(invitation);
        REQUIRE(std::holds_alternative<Welcome>(outcome));
        CHECK(admitted == std::vector{other.id});
        CHECK(warnings.empty());
    }

    TEST_CASE_FIXTURE(Inviter,
                      "eight invitations share a port, the ninth is refused with a reason") {
        const std::uint16_t port = invited().port;
        for (std::size_t i = 1; i < kMaxOpen; ++i) CHECK(invited().port == port);
        const Event ninth = asked();
        REQUIRE(std::holds_alternative<Failed>(ninth));
        CHECK(std::get<Failed>(ninth).code == mesh::messages::ErrorCode::busy);
        // What was made for the cluster before is of no use in another one.
        host.close();
        CHECK(std::holds_alternative<InviteReply>(asked()));
    }
}

}  // namespace host_test
