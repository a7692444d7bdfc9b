#include "mesh/discovery/static_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <thread>

namespace static_peers_test {

using namespace shoal::mesh::discovery;
using Clock = StaticPeers::Time::clock;

namespace {

/// Waits for threads that look names up.
bool eventually(const std::function<bool()>& done) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (!done()) {
        if (Clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace

TEST_SUITE("static peers") {
    TEST_CASE("peers are read with and without a port, and refused with their text") {
        CHECK(parse_peer("pi", 7) == Endpoint{"pi", 7});
        CHECK(parse_peer("pi.lan:80", 7) == Endpoint{"pi.lan", 80});
        CHECK(parse_peer("10.0.0.1:65535", 7) == Endpoint{"10.0.0.1", 65535});
        CHECK(parse_peer("fe80::1%eth0", 7) == Endpoint{"fe80::1%eth0", 7});
        CHECK(parse_peer("[fe80::1%eth0]:9", 7) == Endpoint{"fe80::1%eth0", 9});
        CHECK(parse_peer("[::1]", 7) == Endpoint{"::1", 7});
        for (const char* bad : {"", ":80", "pi:", "pi:0", "pi:65536", "pi:8x", "[::1", "[::1]9",
                                "[::1]:", "a b", "udp://pi"}) {
            CAPTURE(bad);
            CHECK_THROWS_WITH(parse_peer(bad, 7), doctest::Contains(bad));
        }
    }

    TEST_CASE("addresses are there at once, and those of a name when it was looked up") {
        StaticPeers peers({"192.0.2.1:9", "localhost:8", "[2001:db8::1]"}, 7);
        const StaticPeers::Time start = Clock::now();
        const auto known = [&](const Endpoint& endpoint) {
            return std::ranges::count(peers.endpoints(start), endpoint) != 0;
        };
        CHECK(known({"192.0.2.1", 9}));
        CHECK(known({"2001:db8::1", 7}));
        CHECK(eventually([&] { return known({"127.0.0.1", 8}) || known({"::1", 8}); }));
        CHECK(peers.unresolved().empty());
        // Neither looked up again before its time, nor forgotten while that goes on.
        const auto all = peers.endpoints(start + StaticPeers::kRefresh / 2);
        CHECK(peers.endpoints(start + 2 * StaticPeers::kRefresh) == all);
        CHECK(eventually([&] { return peers.endpoints(start) == all; }));
    }

    TEST_CASE("a name without an address is told, and asked for again") {
        StaticPeers peers({"shoal-test.invalid"}, 7);
        StaticPeers::Time now = Clock::now();
        CHECK(peers.unresolved().empty());  // not known yet
        for (int i = 0; i < 3; ++i, now += StaticPeers::kRetry) {
            CHECK(eventually(
                [&] { return peers.endpoints(now).empty() && peers.unresolved().size() == 1; }));
        }
        CHECK(peers.unresolved()[0] == "shoal-test.invalid");
    }

    TEST_CASE("peers may go while their names are looked up") {
        for (int i = 0; i < 50; ++i) {
            StaticPeers peers({"localhost", "shoal-test.invalid"}, 7);
            CHECK(peers.endpoints(Clock::now()).empty());
        }
    }
}

}  // namespace static_peers_test
