#include "mesh/transport/zmq_context.hpp"

#include <doctest/doctest.h>

#include <zmq.hpp>

#include "mesh/transport/identity_store.hpp"

namespace zmq_context_test {

using namespace shoal::mesh;

namespace {

struct Pair {
    Identity server_identity = generate_identity(), client_identity = generate_identity();
    ZmqContext server{server_identity}, client{client_identity};
    zmq::socket_t router{server.zmq(), zmq::socket_type::router};
    zmq::socket_t dealer{client.zmq(), zmq::socket_type::dealer};

    void connect(const PublicKey& believed_server_key) {
        server.configure_server(router, kControlIoThread);
        router.set(zmq::sockopt::rcvtimeo, 3000);
        router.bind("tcp://127.0.0.1:*");
        client.configure_client(dealer, believed_server_key, kControlIoThread);
        dealer.connect(router.get(zmq::sockopt::last_endpoint));
        REQUIRE(dealer.send(zmq::str_buffer("hello"), zmq::send_flags::dontwait));
    }

    /// The sender of the message that arrives, or nothing after the wait.
    std::optional<DeviceId> receive(int wait_ms) {
        router.set(zmq::sockopt::rcvtimeo, wait_ms);
        zmq::message_t routing, body;
        if (!router.recv(routing) || !router.recv(body)) return std::nullopt;
        CHECK(body.to_string_view() == "hello");
        return ZmqContext::sender_of(body.gets("User-Id"));
    }
};

}  // namespace

TEST_SUITE("zmq context") {
    TEST_CASE_FIXTURE(Pair, "an allowed key gets in and its messages carry its id") {
        REQUIRE(server.allow(client_identity.public_key));
        connect(server_identity.public_key);
        CHECK(receive(3000) == client_identity.id);
        CHECK(server.refused() == 0);
    }

    TEST_CASE_FIXTURE(Pair, "a refused client tries again and gets in once it is allowed") {
        connect(server_identity.public_key);
        CHECK(receive(150) == std::nullopt);
        CHECK(server.refused() > 0);
        REQUIRE(server.allow(client_identity.public_key));
        CHECK(server.is_allowed(client_identity.public_key));
        CHECK(receive(3000) == client_identity.id);
    }

    TEST_CASE_FIXTURE(Pair, "a server that is not the expected device receives nothing") {
        REQUIRE(server.allow(client_identity.public_key));
        connect(generate_identity().public_key);
        CHECK(receive(150) == std::nullopt);
    }

    TEST_CASE_FIXTURE(Pair, "a revoked key is refused") {
        REQUIRE(server.allow(client_identity.public_key));
        server.revoke(client_identity.public_key);
        CHECK_FALSE(server.is_allowed(client_identity.public_key));
        connect(server_identity.public_key);
        CHECK(receive(150) == std::nullopt);
    }

    TEST_CASE("a client without CURVE is refused") {
        const Identity identity = generate_identity();
        ZmqContext context(identity);
        zmq::socket_t router(context.zmq(), zmq::socket_type::router);
        context.configure_server(router, kDataIoThread);
        router.set(zmq::sockopt::rcvtimeo, 150);
        router.bind("tcp://127.0.0.1:*");
        zmq::context_t plain;
        zmq::socket_t dealer(plain, zmq::socket_type::dealer);
        dealer.set(zmq::sockopt::linger, 0);
        dealer.connect(router.get(zmq::sockopt::last_endpoint));
        dealer.send(zmq::str_buffer("hello"), zmq::send_flags::none);
        zmq::message_t message;
        CHECK_FALSE(router.recv(message));
    }

    TEST_CASE("the allow-list is bounded") {
        const Identity identity = generate_identity();
        ZmqContext context(identity);
        PublicKey key{};
        for (std::size_t i = 0; i < kMaxAllowed; ++i) {
            key[0] = static_cast<std::uint8_t>(i);
            key[1] = static_cast<std::uint8_t>(i >> 8);
            REQUIRE(context.allow(key));
        }
        CHECK(context.allow(key));
        key[2] = 1;
        CHECK_FALSE(context.allow(key));
    }
}

}  // namespace zmq_context_test
