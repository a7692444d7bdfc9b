// Door and call on real sockets, and those who stand between: loopback, one process, one thread.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "mesh/joining/join_call.hpp"
#include "mesh/joining/join_door.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "tests/joining/recording_proxy.hpp"

namespace joining_test {

using namespace shoal::mesh;
using namespace shoal::mesh::joining;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

struct Device {
    Identity identity = generate_identity();
    ZmqContext context{identity};
};

/// Answers every knock as a test wants, and keeps what it heard.
struct Inviter : Device {
    explicit Inviter(std::string at = "127.0.0.1") : host(std::move(at)) {}
    const std::string host;
    JoinDoor door{context, host};
    std::vector<PublicKey> callers;
    std::vector<Knock> knocks;
    std::function<JoinFrame(const JoinDoor::Caller&)> judge = [](const auto&) {
        return Refusal{Refusal::Reason::wrong};
    };

    Invitation invitation(std::uint16_t port = 0) const {
        return {{host}, port == 0 ? door.port() : port, identity.public_key, {1, 2, 3}};
    }
    void poll() {
        while (const auto caller = door.receive()) {
            callers.push_back(caller->key);
            CHECK(caller->host == host);
            if (!caller->frame) continue;
            knocks.push_back(std::get<Knock>(*caller->frame));
            door.answer(caller->connection, judge(*caller));
        }
    }
};

/// The outcome, if there is one before `at_most` is over.
std::optional<JoinCall::Outcome> follow(JoinCall& call, const std::vector<Inviter*>& inviters,
                                        std::chrono::milliseconds at_most) {
    const auto end = Clock::now() + at_most;
    while (Clock::now() < end) {
        for (Inviter* inviter : inviters) inviter->poll();
        auto outcome = call.poll(Clock::now());
        if (!std::holds_alternative<std::monostate>(outcome)) return outcome;
        std::this_thread::sleep_for(2ms);
    }
    return std::nullopt;
}

Welcome some_key() {
    Welcome welcome;
    welcome.cluster_key.fill(42);
    welcome.name = "desk";
    return welcome;
}

}  // namespace

TEST_SUITE("joining") {
    TEST_CASE("an invited device is told apart by its key, proves the secret and gets the answer") {
        Inviter inviter;
        Device joiner;
        inviter.judge = [&](const JoinDoor::Caller& caller) -> JoinFrame {
            const auto& knock = std::get<Knock>(*caller.frame);
            const bool right = knock.proof == prove(Secret{1, 2, 3}, inviter.identity.public_key,
                                                    joiner.identity.public_key);
            return right ? JoinFrame(some_key()) : JoinFrame(Refusal{});
        };
        JoinCall call(joiner.context, inviter.invitation(), "kitchen", Clock::now());
        const auto outcome = follow(call, {&inviter}, 5s);
        REQUIRE(outcome);
        REQUIRE(std::holds_alternative<Welcome>(*outcome));
        CHECK(std::get<Welcome>(*outcome) == some_key());
        REQUIRE(inviter.callers.size() == 1);
        CHECK(inviter.callers[0] == joiner.identity.public_key);
        CHECK(inviter.knocks[0].name == "kitchen");
    }

    TEST_CASE("of several addresses one that answers is enough") {
        Inviter inviter;
        inviter.judge = [](const auto&) { return some_key(); };
        Device joiner;
        Invitation invitation = inviter.invitation();
        // Nobody is at the first two.
        invitation.addresses = {"127.0.0.2", "127.0.0.3", "127.0.0.1"};
        JoinCall call(joiner.context, invitation, "kitchen", Clock::now());
        const auto outcome = follow(call, {&inviter}, 5s);
        REQUIRE(outcome);
        CHECK(std::holds_alternative<Welcome>(*outcome));
    }

    TEST_CASE("an inviter at an IPv6 address is called there") {
        if (!std::filesystem::exists("/proc/net/if_inet6")) return;
        Inviter inviter("::1");
        inviter.judge = [](const auto&) { return some_key(); };
        Device joiner;
        std::string why;
        const auto invitation = parse_invitation(text_of(inviter.invitation()), why);
        REQUIRE(invitation);
        JoinCall call(joiner.context, *invitation, "kitchen", Clock::now());
        const auto outcome = follow(call, {&inviter}, 5s);
        REQUIRE(outcome);
        CHECK(std::holds_alternative<Welcome>(*outcome));
        CHECK(inviter.callers.size() == 1);
    }

    TEST_CASE("who is refused is told why, and who is too much asks again") {
        Inviter inviter;
        Device joiner;
        int heard = 0;
        inviter.judge = [&](const auto&) -> JoinFrame {
            return Refusal{++heard < 3 ? Refusal::Reason::busy : Refusal::Reason::used};
        };
        JoinCall call(joiner.context, inviter.invitation(), "kitchen", Clock::now());
        const auto outcome = follow(call, {&inviter}, 8s);
        REQUIRE(outcome);
        REQUIRE(std::holds_alternative<Refusal>(*outcome));
        CHECK(std::get<Refusal>(*outcome).reason == Refusal::Reason::used);
        CHECK(heard == 3);
    }

    TEST_CASE("nobody at the address is told when the time is over") {
        Inviter inviter;
        Device joiner;
        const auto start = Clock::now();
        JoinCall call(joiner.context, inviter.invitation(1), "kitchen", start);
        CHECK_FALSE(follow(call, {}, 300ms));
        CHECK(call.next_deadline() == start + JoinCall::kPatience);
        CHECK(std::holds_alternative<JoinCall::Nobody>(call.poll(start + JoinCall::kPatience)));
    }

    TEST_CASE("who takes the inviter's place has another key and hears nothing") {
        Inviter inviter, impostor;
        impostor.judge = [](const auto&) { return some_key(); };
        Device joiner;
        // As if the address were the impostor's now; the key in the line is the inviter's.
        JoinCall call(joiner.context, inviter.invitation(impostor.door.port()), "kitchen",
                      Clock::now());
        CHECK_FALSE(follow(call, {&impostor, &inviter}, 2s));
        CHECK(impostor.callers.empty());
        CHECK(impostor.knocks.empty());
    }

    TEST_CASE("what passes by cannot be read, and not be used when it is sent again") {
        Inviter inviter;
        inviter.judge = [](const auto&) { return some_key(); };
        Device joiner;
        shoal::mesh::testing::RecordingProxy wire(inviter.door.port());
        JoinCall call(joiner.context, inviter.invitation(wire.port()), "kitchen-name",
                      Clock::now());
        const auto outcome = follow(call, {&inviter}, 5s);
        REQUIRE(outcome);
        REQUIRE(std::holds_alternative<Welcome>(*outcome));
        const std::string there = wire.there(), back = wire.back();
        REQUIRE(there.size() > 200);
        CHECK(there.find("kitchen-name") == std::string::npos);
        CHECK(back.find("desk") == std::string::npos);
        CHECK(back.find(std::string(8, 42)) == std::string::npos);
        const std::size_t before = inviter.callers.size();
        const std::string answer = wire.replay(there);
        for (int i = 0; i < 100; ++i) {
            inviter.poll();
            std::this_thread::sleep_for(5ms);
        }
        CHECK(inviter.callers.size() == before);
        CHECK(answer.find(std::string(8, 42)) == std::string::npos);
    }

    TEST_CASE("bytes that were changed on their way let nobody in") {
        Inviter inviter;
        inviter.judge = [](const auto&) { return some_key(); };
        Device joiner;
        shoal::mesh::testing::RecordingProxy wire(inviter.door.port());
        // Behind the greeting and the handshake, in what is encrypted.
        wire.flip_from(400);
        JoinCall call(joiner.context, inviter.invitation(wire.port()), "kitchen", Clock::now());
        CHECK_FALSE(follow(call, {&inviter}, 2s));
        CHECK(inviter.knocks.empty());
    }

    TEST_CASE("a door that is shut is gone") {
        Device owner, joiner;
        auto door = std::make_unique<JoinDoor>(owner.context, "127.0.0.1");
        const Invitation invitation{
            {"127.0.0.1"}, door->port(), owner.identity.public_key, {1, 2, 3}};
        door.reset();
        JoinCall call(joiner.context, invitation, "kitchen", Clock::now());
        CHECK_FALSE(follow(call, {}, 500ms));
    }

    TEST_CASE("a large frame ends the connection, and the door goes on") {
        Inviter inviter;
        inviter.judge = [](const auto&) { return some_key(); };
        Device rude, joiner;
        zmq::socket_t socket(rude.context.zmq(), zmq::socket_type::dealer);
        rude.context.configure_client(socket, inviter.identity.public_key, kControlIoThread);
        socket.connect("tcp://127.0.0.1:" + std::to_string(inviter.door.port()));
        const std::string large(kMaxFrameBytes + 1, 'x');
        socket.send(zmq::buffer(large), zmq::send_flags::dontwait);
        JoinCall call(joiner.context, inviter.invitation(), "kitchen", Clock::now());
        const auto outcome = follow(call, {&inviter}, 5s);
        REQUIRE(outcome);
        CHECK(std::holds_alternative<Welcome>(*outcome));
        CHECK(std::ranges::count(inviter.callers, rude.identity.public_key) == 0);
    }
}

}  // namespace joining_test
