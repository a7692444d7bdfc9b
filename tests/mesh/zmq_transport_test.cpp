// The control channel on real sockets, where connections end in every order.
#include "mesh/transport/zmq_transport.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace zmq_transport_test {

using namespace shoal::mesh;
using namespace std::chrono_literals;
using transport::Incoming;
using transport::ZmqTransport;
using Clock = std::chrono::steady_clock;
using wire::Lane;

namespace {

struct Device {
    Identity identity = generate_identity();
    ZmqContext context{identity};
    std::optional<ZmqTransport> transport{std::in_place, context, "127.0.0.1", std::uint16_t{0}};

    /// Opens a connection to `other`, which lets it in.
    void connect(Device& other) {
        REQUIRE(other.context.allow(identity.public_key));
        REQUIRE(transport->connect(other.identity.id, other.identity.public_key, "127.0.0.1",
                                   other.transport->port()));
    }
    bool send(const Device& to, std::span<const std::byte> bytes) {
        return transport->send(to.identity.id, Lane::membership, bytes, {});
    }
    /// The kind of the next thing that arrives.
    std::optional<Incoming::Kind> receive(std::chrono::milliseconds at_most) {
        const auto end = Clock::now() + at_most;
        do {
            if (const auto incoming = transport->receive()) return incoming->kind;
            std::vector<pollfd> polled;
            for (const int fd : transport->descriptors()) polled.push_back({fd, POLLIN, 0});
            ::poll(polled.data(), polled.size(), 10);
        } while (Clock::now() < end);
        return std::nullopt;
    }
};

}  // namespace

TEST_SUITE("zmq transport") {
    TEST_CASE("a connection that breaks while its farewell lingers stops no other") {
        // On the heap and leaked when it fails: a context whose I/O thread waits cannot be ended.
        auto* device = new Device;
        const std::vector<std::byte> much(64u << 10);
        for (int i = 0; i < 5; ++i) {
            Device other;
            device->connect(other);
            // More than a connection takes of what nobody reads, so that something must linger.
            while (device->send(other, much)) continue;
            REQUIRE(other.receive(5s));
            while (device->send(other, much)) continue;
            device->transport->disconnect(other.identity.id, other.identity.public_key);
            other.transport.reset();
        }
        Device last;
        device->connect(last);
        REQUIRE(device->send(last, much));
        REQUIRE(last.receive(10s) == Incoming::Kind::message);
        delete device;
    }

    TEST_CASE("a message of several parts is reported as an empty one, not passed over") {
        Device device, other;
        REQUIRE(device.context.allow(other.identity.public_key));
        zmq::socket_t dealer(other.context.zmq(), zmq::socket_type::dealer);
        other.context.configure_client(dealer, device.identity.public_key, kControlIoThread);
        dealer.connect("tcp://127.0.0.1:" + std::to_string(device.transport->port()));
        for (int i = 0; i < 2; ++i) {
            REQUIRE(dealer.send(zmq::str_buffer("part"), zmq::send_flags::sndmore));
            REQUIRE(dealer.send(zmq::str_buffer("part"), zmq::send_flags::none));
        }
        REQUIRE(dealer.send(zmq::str_buffer("whole"), zmq::send_flags::none));
        for (const std::size_t size : {0u, 0u, 5u}) {
            std::optional<Incoming> incoming;
            for (const auto end = Clock::now() + 5s; !incoming && Clock::now() < end;) {
                incoming = device.transport->receive();
            }
            REQUIRE(incoming);
            CHECK(incoming->bytes.size() == size);
            if (size != 0) CHECK(incoming->from == other.identity.id);
        }
    }

    TEST_CASE("a connection that breaks is reported, and once") {
        Device device;
        std::optional<Device> other(std::in_place);
        device.connect(*other);
        REQUIRE(device.send(*other, {}));
        REQUIRE(other->receive(5s) == Incoming::Kind::message);
        other.reset();
        CHECK(device.receive(5s) == Incoming::Kind::broken);
        CHECK(device.receive(200ms) == std::nullopt);
    }
}

}  // namespace zmq_transport_test
