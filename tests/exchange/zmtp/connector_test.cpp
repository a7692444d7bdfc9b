// Who gets a connection, and who cannot keep others from getting one.
#include "mesh/exchange/zmtp/connector.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/exchange/zmtp/descriptors.hpp"
#include "tests/exchange/zmtp/shake.hpp"
#include "tests/exchange/zmtp/stream.hpp"

namespace shoal::mesh::testing::connector_test {

using namespace exchange::zmtp;
using namespace std::chrono_literals;

namespace {

using Connections = std::vector<std::unique_ptr<Connection>>;

std::string at(std::uint16_t port) {
    return "tcp://127.0.0.1:" + std::to_string(port);
}

/// Until `done` or ten seconds have passed.
bool eventually(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
        if (std::chrono::steady_clock::now() > limit) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

/// The next connections that `connector` makes.
Connections await(Connector& connector) {
    pollfd news{connector.descriptor(), POLLIN, 0};
    expect(::poll(&news, 1, 10'000) == 1, "a connection is made");
    return connector.take();
}

std::uint16_t port_of_peer(const Connection& connection) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    REQUIRE(::getpeername(connection.socket.descriptor(), reinterpret_cast<sockaddr*>(&peer),
                          &size) == 0);
    return ntohs(peer.sin_port);
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// The clock of what the thread called `name` of this process has computed.
clockid_t clock_of(const std::string& name) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string comm;
        std::getline(std::ifstream(task.path() / "comm"), comm);
        // How Linux makes the id of a thread's clock.
        if (comm == name) return ~std::stoi(task.path().filename()) * 8 + 6;
    }
    throw std::runtime_error("no thread " + name);
}

std::chrono::nanoseconds time_of(clockid_t clock) {
    timespec time{};
    REQUIRE(::clock_gettime(clock, &time) == 0);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

TEST_SUITE_BEGIN("connector");

TEST_CASE("two connectors meet, in clear and with security") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    for (const bool secure : {false, true}) {
        CAPTURE(secure);
        Connector publisher("127.0.0.1", 0, secure ? &one.context : nullptr);
        Connector subscriber("127.0.0.1", 0, secure ? &other.context : nullptr);
        subscriber.call(3, at(publisher.port()), one.key());
        const auto there = await(subscriber), here = await(publisher);
        REQUIRE(there.size() == 1);
        REQUIRE(here.size() == 1);
        CHECK(there[0]->rank == 3);
        CHECK_FALSE(here[0]->rank);
        CHECK(there[0]->introduction.secure.has_value() == secure);
        if (secure) CHECK(here[0]->introduction.peer == other.identity.id);
        if (secure) CHECK(there[0]->introduction.peer == one.identity.id);
        CHECK(subscriber.trouble(3).empty());
        CHECK_FALSE(subscriber.has_some());
        CHECK_FALSE(publisher.has_some());
    }
}

TEST_CASE("who does not read is given longer than who does not answer") {
    Connector publisher("127.0.0.1", 0, nullptr), subscriber("127.0.0.1", 0, nullptr);
    subscriber.call(1, at(publisher.port()), {});
    const auto there = await(subscriber), here = await(publisher);
    REQUIRE(there.size() == 1);
    REQUIRE(here.size() == 1);
    const auto patience = [](const Connection& connection) {
        int value = 0;
        socklen_t size = sizeof value;
        CHECK(::getsockopt(connection.socket.descriptor(), IPPROTO_TCP, TCP_USER_TIMEOUT, &value,
                           &size) == 0);
        return std::chrono::milliseconds(value);
    };
    // A device whose window is full computes; lock-step says after 10 s that this is too long.
    CHECK(patience(*here[0]) >= 30s);
    CHECK(patience(*there[0]) <= 5s);
}

TEST_CASE("who is not there yet is called until it is, and why is said meanwhile") {
    std::uint16_t port = 0;
    {
        const StreamListener once;
        port = once.port();
    }
    Connector subscriber("127.0.0.1", 0, nullptr);
    subscriber.call(1, at(port), {});
    CHECK(eventually([&] { return !subscriber.trouble(1).empty(); }));
    Connector publisher("127.0.0.1", port, nullptr);
    CHECK(await(subscriber).size() == 1);
    CHECK(subscriber.trouble(1).empty());
}

TEST_CASE("a connection that ended is made again, as often as it is wanted") {
    Connector publisher("127.0.0.1", 0, nullptr), subscriber("127.0.0.1", 0, nullptr);
    subscriber.call(1, at(publisher.port()), {});
    for (int i = 0; i < 8; ++i) {
        auto made = await(subscriber);
        REQUIRE(made.size() == 1);
        for (auto& connection : await(publisher)) publisher.close(std::move(connection));
        subscriber.close(std::move(made[0]));
        subscriber.call_again(1);
    }
}

TEST_CASE("an endpoint that is none is refused where it is named") {
    Connector connector("127.0.0.1", 0, nullptr);
    for (const std::string endpoint :
         {"", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://a.b:1", "udp://127.0.0.1:1",
          "tcp://127.0.0.1:x", "tcp://127.0.0.1:1x", "tcp://127.0.0.1:+1", "tcp://127.0.0.1: 1",
          "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:99999999999", "tcp://:1",
          "carrier pigeon", "tcp://[::1]", "tcp://[fe80::1%no-such-interface]:1"}) {
        CAPTURE(endpoint);
        CHECK_THROWS_AS(connector.call(1, endpoint, {}), std::invalid_argument);
    }
}

TEST_CASE("a key of low order in a plan is trouble with that device, and no more") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    Connector publisher("127.0.0.1", 0, &one.context);
    Connector subscriber("127.0.0.1", 0, &other.context);
    subscriber.call(1, at(publisher.port()), PublicKey{});
    CHECK(eventually([&] { return subscriber.trouble(1).find("key") != std::string::npos; }));
    subscriber.call(2, at(publisher.port()), one.key());
    CHECK(await(subscriber).at(0)->rank == 2);
}

// Needs a network of its own, where interfaces may be renamed.
TEST_CASE("an interface that goes away is trouble with that device, and no more") {
    std::jthread([] {
        if (::unshare(CLONE_NEWNET) != 0) {
            MESSAGE("skipped: this user may not make a network namespace");
            return;
        }
        Connector connector("*", 0, nullptr);
        connector.call(1, "tcp://[fe80::1%lo]:9", {});
        ifreq request{};
        std::strcpy(request.ifr_name, "lo");
        std::strcpy(request.ifr_newname, "renamed");
        const Socket socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        REQUIRE(::ioctl(socket.descriptor(), SIOCSIFNAME, &request) == 0);
        CHECK(eventually(
            [&] { return connector.trouble(1).find("no endpoint") != std::string::npos; }));
        // It may come back: no call throws because of it.
        CHECK_NOTHROW(connector.call_again(1));
    }).join();
}

TEST_CASE("a call of the last plan does not answer one of the next") {
    const StreamListener old_device, new_device;
    Connector connector("127.0.0.1", 0, nullptr);
    connector.call(1, old_device.endpoint(), {});
    const Stream late = old_device.accept();
    connector.stop_calling();
    connector.call(1, new_device.endpoint(), {});
    const Stream right = new_device.accept();
    // Rank 1 of the last plan would now be taken for rank 1 of this one.
    Bytes said;
    const auto greeting = encode(Greeting{1, "NULL", true});
    said.assign(greeting.begin(), greeting.end());
    Bytes properties;
    append_property(properties, "Socket-Type", "XPUB");
    append_command(said, "READY", properties);
    (void)late.try_send(said);
    CHECK(late.ends());
    CHECK_FALSE(connector.has_some());
    right.greet("XPUB");
    const auto made = await(connector);
    REQUIRE(made.size() == 1);
    CHECK(port_of_peer(*made[0]) == new_device.port());
    CHECK(connector.trouble(1).empty());
}

TEST_CASE("calls to many who do not answer keep nobody from reaching us") {
    const StreamListener silent;
    Connector connector("127.0.0.1", 0, nullptr);
    constexpr std::uint32_t kMany = kMaxHandshakes + 50;
    for (std::uint32_t r = 0; r < kMany; ++r) connector.call(r, silent.endpoint(), {});
    std::vector<Stream> called;
    for (std::uint32_t r = 0; r < kMany; ++r) called.push_back(silent.accept());
    Stream::to(connector.port()).greet("SUB");
    CHECK(await(connector).size() == 1);
    // None of the calls had to be given up first.
    CHECK(connector.trouble(0).empty());
}

TEST_CASE("strangers who say nothing, or little, give their places to those who do") {
    const Descriptors descriptors(4096);
    if (!descriptors.enough) return;
    const StreamListener silent;
    Connector connector("127.0.0.1", 0, nullptr);
    std::vector<Stream> strangers;
    for (std::size_t i = 0; i < 2 * kMaxHandshakes + 100; ++i) {
        strangers.push_back(Stream::to(connector.port()));
        if (i % 2 == 0) strangers.back().send(from_hex("ff000000000000"));
    }
    // A call that nobody answers is the clock: it ends after as long as a handshake may take.
    connector.call(1, silent.endpoint(), {});
    const Stream called = silent.accept();
    Stream::to(connector.port()).greet("SUB");
    CHECK(connector.trouble(1).empty());
}

TEST_CASE("without room for them, strangers are forgotten before whom we called") {
    const Descriptors descriptors(4096);
    if (!descriptors.enough) return;
    const StreamListener device;
    Connector connector("127.0.0.1", 0, nullptr);
    connector.call(1, device.endpoint(), {});
    const Stream publisher = device.accept();
    publisher.greet("XPUB");
    std::vector<Stream> strangers;
    for (std::size_t i = 0; i < kMaxWaiting + 50; ++i) {
        strangers.push_back(Stream::to(connector.port()));
        strangers.back().greet("SUB");
    }
    // The first of them made room for the last.
    CHECK(strangers.front().ends());
    const auto made = connector.take();
    CHECK(made.size() <= kMaxWaiting);
    CHECK(std::ranges::count_if(made, [](const auto& c) { return c->rank == 1u; }) == 1);
}

TEST_CASE("those who wait for a plan and go are forgotten") {
    Connector connector("127.0.0.1", 0, nullptr);
    const Stream stays = Stream::to(connector.port());
    stays.greet("SUB");
    const std::size_t before = open_descriptors();
    {
        std::vector<Stream> others;
        for (int i = 0; i < 10; ++i) {
            others.push_back(Stream::to(connector.port()));
            others.back().greet("SUB");
        }
        CHECK(open_descriptors() >= before + 10);
    }
    CHECK(eventually([&] { return open_descriptors() == before; }));
    CHECK(connector.take().size() == 1);
}

TEST_CASE("without a descriptor for it, a connection waits, and nothing spins meanwhile") {
    Connector connector("127.0.0.1", 0, nullptr);
    Stream::to(connector.port()).greet("SUB");
    (void)await(connector);
    const clockid_t clock = clock_of("data-connect");
    std::optional<Stream> stream;
    {
        const Socket last(::dup(0));
        const Descriptors few(static_cast<rlim_t>(last.descriptor()) + 2);
        std::vector<Socket> all;
        do all.emplace_back(::dup(0));
        while (all.back());
        all.resize(all.size() - 2);  // one is none, the other becomes the stream's
        stream.emplace(Stream::to(connector.port()));
        const auto before = time_of(clock);
        std::this_thread::sleep_for(300ms);
        CHECK(time_of(clock) - before < 30ms);
        CHECK_FALSE(connector.has_some());
    }
    stream->greet("SUB");
    CHECK(await(connector).size() == 1);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::connector_test
