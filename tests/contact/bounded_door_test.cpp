// How much a stranger at the open port can have libzmq read: the hook and a door, on real sockets.
#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "daemon/accept_hook.hpp"
#include "daemon/connection_limits.hpp"
#include "mesh/joining/join_call.hpp"
#include "mesh/joining/join_door.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace bounded_door_test {

using namespace shoal;
using namespace shoal::mesh::joining;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

struct Device {
    mesh::Identity identity = mesh::generate_identity();
    mesh::ZmqContext context{identity};
};

struct Inviter : Device {
    JoinDoor door{context, "127.0.0.1"};
    int heard = 0;

    ~Inviter() { AcceptHook::leave_port(door.port()); }
    void guard(std::uint64_t bytes) {
        auto limits = stranger_limits(kMostDescriptors);
        limits.bytes = bytes;
        AcceptHook::guard_port(door.port(), limits);
    }
    template <typename Done>
    bool poll_until(Done done, std::chrono::milliseconds at_most) {
        const auto end = Clock::now() + at_most;
        while (!done()) {
            if (Clock::now() >= end) return false;
            while (const auto caller = door.receive()) {
                ++heard;
                if (caller->frame) door.answer(caller->connection, Welcome{{}, "desk"});
            }
            std::this_thread::sleep_for(1ms);
        }
        return true;
    }
    bool lets_in(Device& joiner, std::chrono::milliseconds at_most) {
        const Invitation invitation{{"127.0.0.1"}, door.port(), identity.public_key, {1, 2, 3}};
        JoinCall call(joiner.context, invitation, std::string(kMaxNameBytes, 'x'), Clock::now());
        return poll_until([&] { return std::holds_alternative<Welcome>(call.poll(Clock::now())); },
                          at_most);
    }
};

/// One message of so many parts, of which none is too long.
zmq::socket_t sent(Device& stranger, const Inviter& inviter, int parts) {
    zmq::socket_t socket(stranger.context.zmq(), zmq::socket_type::dealer);
    stranger.context.configure_client(socket, inviter.identity.public_key, mesh::kControlIoThread);
    socket.connect("tcp://127.0.0.1:" + std::to_string(inviter.door.port()));
    const std::string part(400, 'x');
    for (int i = 1; i <= parts; ++i) {
        socket.send(zmq::buffer(part),
                    i < parts ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
    return socket;
}

const std::uint64_t kEnough = stranger_limits(kMostDescriptors).bytes;

}  // namespace

TEST_SUITE("bounded door") {
    TEST_CASE_FIXTURE(Inviter, "of a message of many parts no more is read than anybody must say") {
        Device stranger, joiner;
        // What the bound is for: without it all of this is gathered first.
        guard(0);
        const auto before = sent(stranger, *this, 100);
        CHECK(poll_until([&] { return heard == 1; }, 10s));
        guard(kEnough);
        const std::uint64_t refused = AcceptHook::refused();
        const auto now = sent(stranger, *this, 100);
        CHECK(poll_until([&] { return AcceptHook::refused() > refused; }, 10s));
        CHECK_FALSE(poll_until([&] { return heard > 1; }, 300ms));
        CHECK(lets_in(joiner, 10s));
    }

    TEST_CASE_FIXTURE(Inviter, "the bound has room for a device that is told to ask again") {
        // The most that one connection of it can come to.
        CHECK(kEnough > 15 * (kMaxNameBytes + 100));
        CHECK(kEnough < 16 * 1024);
        Device joiner, other;
        guard(kEnough);
        CHECK(lets_in(joiner, 10s));
        // Less than a handshake takes.
        guard(300);
        CHECK_FALSE(lets_in(other, 500ms));
    }
}

}  // namespace bounded_door_test
