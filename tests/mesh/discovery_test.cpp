#include "mesh/discovery/discovery.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <sodium.h>

#include <algorithm>

#include "mesh/discovery/interfaces.hpp"

namespace discovery_test {

using namespace shoal::mesh;
using namespace shoal::mesh::discovery;
using std::chrono::seconds;
using wire::Beacon;

namespace {

/// Two machines of one cluster that hand each other datagrams.
struct Fixture {
    Time now{std::chrono::hours(1)};
    wire::BeaconKey key{1, 2, 3};
    std::uint8_t next_random = 1;
    bool settled = false;
    Discovery a = make(1), b = make(2);
    const Endpoint at_a{"10.0.0.1", 1001}, at_b{"10.0.0.2", 1002};
    Discovery::Output out;

    Discovery make(std::uint8_t number) { return make(number, std::uint64_t{number} * 10); }
    Discovery make(std::uint8_t number, std::uint64_t instance) {
        REQUIRE(sodium_init() >= 0);
        PublicKey public_key{};
        public_key[0] = number;
        return Discovery(
            {public_key, instance, static_cast<std::uint16_t>(4000 + number)}, key, {},
            [this](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, next_random++); },
            [this](const DeviceId&, std::uint64_t) { return settled; }, now);
    }
    wire::BeaconBytes announcement(Discovery& from) {
        Discovery::Output sent;
        from.tick(now, sent);
        REQUIRE(sent.send.size() == 1);
        CHECK_FALSE(sent.send[0].to);
        return sent.send[0].bytes;
    }
    /// What `to` sends back, which must be one datagram.
    wire::BeaconBytes reply(Discovery& to, wire::BeaconBytes bytes, const Endpoint& from) {
        out = {};
        to.received(bytes, from, now, out);
        REQUIRE(out.send.size() == 1);
        CHECK(out.send[0].to == from);
        return out.send[0].bytes;
    }
    bool convinces(Discovery& to, wire::BeaconBytes bytes, const Endpoint& from) {
        out = {};
        to.received(bytes, from, now, out);
        return !out.sighted.empty();
    }
};

}  // namespace

TEST_SUITE("discovery") {
    TEST_CASE_FIXTURE(Fixture, "three datagrams convince both sides") {
        const auto question = announcement(a);
        const auto answer = reply(b, question, at_a);
        CHECK(out.sighted.empty());
        const auto confirmation = reply(a, answer, at_b);
        REQUIRE(out.sighted.size() == 1);
        CHECK(out.sighted[0].public_key[0] == 2);
        CHECK(out.sighted[0].instance == 20);
        CHECK(out.sighted[0].control_port == 4002);
        CHECK(out.sighted[0].endpoint == at_b);
        CHECK(convinces(b, confirmation, at_a));
        CHECK(out.send.empty());
        CHECK(out.sighted[0].id == device_id_of(out.sighted[0].public_key));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "an answer or confirmation that is played again later convinces nobody") {
        const auto answer = reply(b, announcement(a), at_a);
        const auto confirmation = reply(a, answer, at_b);
        now += milliseconds(2900);
        CHECK(convinces(a, answer, at_b));
        now += milliseconds(200);
        CHECK_FALSE(convinces(a, answer, at_b));
        CHECK(out.send.empty());
        now += milliseconds(3000);
        CHECK_FALSE(convinces(b, confirmation, at_a));
        CHECK(a.counters().stale == 1);
        CHECK(b.counters().stale == 1);
        // Nor another device: the answer quotes a nonce that is not its own.
        Discovery c = make(3);
        CHECK_FALSE(convinces(c, answer, at_b));
        CHECK_FALSE(convinces(c, confirmation, at_a));
    }

    TEST_CASE_FIXTURE(Fixture, "under an old key devices are found that are known, and no others") {
        const wire::BeaconKey fresh{9, 9};
        const auto knows = [](std::uint8_t number) {
            return [number](const PublicKey& device) { return device[0] == number; };
        };
        // b was off while a changed its key; it asks under the one that it has.
        a.set_keys({fresh, key}, knows(2), now);
        const auto answer = reply(a, announcement(b), at_b);
        const auto confirmation = reply(b, answer, at_a);
        REQUIRE(out.sighted.size() == 1);
        CHECK(convinces(a, confirmation, at_b));
        // What a announces is of the new key, which b does not know.
        now += seconds(1);
        const auto announced = announcement(a);
        CHECK_FALSE(wire::is_authentic(announced, key));
        CHECK(wire::is_authentic(announced, fresh));
        CHECK_FALSE(convinces(b, announced, at_a));
        CHECK(b.counters().foreign == 1);
        // Another device with the old key is nobody.
        Discovery c = make(3);
        out = {};
        a.received(announcement(c), at_b, now, out);
        CHECK(out.send.empty());
        CHECK(a.counters().foreign == 1);
        CHECK(a.foreigners(now).size() == 1);
        // Once b has the new key, too, the old one is not needed.
        b.set_keys({fresh}, knows(0), now);
        CHECK(convinces(b, reply(a, announcement(b), at_b), at_a));
    }

    TEST_CASE_FIXTURE(Fixture, "another key is announced at once, and in a burst") {
        announcement(a);
        now += seconds(10);
        announcement(a);
        now += milliseconds(500);
        a.set_keys(
            {wire::BeaconKey{7}}, [](const PublicKey&) { return false; }, now);
        const Time start = now;
        for (const milliseconds after : DiscoveryConfig().burst) {
            CHECK(a.next_deadline() == start + after);
            now = start + after;
            announcement(a);
        }
        CHECK(a.next_deadline() == now + DiscoveryConfig().interval);
    }

    TEST_CASE_FIXTURE(Fixture, "other clusters, noise and ourselves are ignored and counted") {
        auto foreign = announcement(a);
        foreign[100] ^= std::byte{1};
        out = {};
        b.received(foreign, at_a, now, out);
        b.received(std::span(foreign).first(50), at_a, now, out);
        now += milliseconds(10);
        b.received(announcement(b), at_b, now, out);
        CHECK(out.send.empty());
        CHECK(out.sighted.empty());
        CHECK(b.counters().foreign == 1);
        CHECK(b.counters().malformed == 1);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a device that has our key is noticed when it is there, not when replayed") {
        Discovery clone = make(1, 11);
        now += std::chrono::minutes(2);
        const auto question = announcement(a);
        const auto answer = reply(clone, question, at_a);
        out = {};
        a.received(answer, at_b, now, out);
        CHECK(out.send.empty());
        CHECK(out.sighted.empty());
        REQUIRE(out.clones.size() == 1);
        CHECK(out.clones[0] == at_b);
        // What a recorded beacon of an earlier start says is no clone.
        now += milliseconds(4000);
        out = {};
        a.received(answer, at_b, now, out);
        CHECK(out.clones.empty());
        CHECK(a.counters().stale == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "how long a device runs is told with it") {
        now += std::chrono::minutes(2);
        const auto confirmation = reply(a, reply(b, announcement(a), at_a), at_b);
        REQUIRE(out.sighted.size() == 1);
        CHECK(out.sighted[0].started == now - std::chrono::minutes(2));
        CHECK(convinces(b, confirmation, at_a));
    }

    TEST_CASE_FIXTURE(Fixture, "some addresses of another cluster are told while they are heard") {
        auto foreign = announcement(a);
        foreign[100] ^= std::byte{1};
        CHECK(b.foreigners(now).empty());
        for (int i = 0; i < 1000; ++i) {
            b.received(foreign, {"10.0.1." + std::to_string(i), 1}, now, out);
        }
        CHECK(b.foreigners(now) == std::vector<std::string>{"10.0.1.0", "10.0.1.1", "10.0.1.2"});
        now += std::chrono::seconds(59);
        b.received(foreign, {"10.0.1.1", 1}, now, out);
        now += std::chrono::seconds(2);
        CHECK(b.foreigners(now) == std::vector<std::string>{"10.0.1.1"});
    }

    TEST_CASE_FIXTURE(Fixture, "announcements come in a burst, then every second") {
        std::vector<milliseconds> times;
        const Time start = now;
        while (now < start + milliseconds(3500)) {
            now = std::max(now, a.next_deadline());
            out = {};
            a.tick(now, out);
            CHECK(out.send.size() == 1);
            times.push_back(std::chrono::duration_cast<milliseconds>(now - start));
        }
        using ms = milliseconds;
        CHECK(times == std::vector<ms>{ms(0), ms(10), ms(40), ms(160), ms(1160), ms(2160), ms(3160),
                                       ms(4160)});
    }

    TEST_CASE_FIXTURE(Fixture, "members are answered now and then only") {
        settled = true;
        std::size_t answers = 0;
        const auto question = announcement(a);
        for (int i = 0; i < 25; ++i) {
            out = {};
            b.received(question, at_a, now, out);
            answers += out.send.size();
            now += milliseconds(1000);
        }
        CHECK(answers == 3);
    }

    TEST_CASE_FIXTURE(Fixture, "answers are limited per source and in total, and recover") {
        const auto question = announcement(a);
        const auto flood = [&](int count, auto address) {
            std::size_t answers = 0;
            for (int i = 0; i < count; ++i) {
                out = {};
                b.received(question, {address(i), 9}, now, out);
                answers += out.send.size();
            }
            return answers;
        };
        const auto one = [](int) { return std::string("10.0.0.9"); };
        const auto many = [](int i) {
            return "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250);
        };
        CHECK(flood(1000, one) == 64);
        CHECK(flood(1000, many) == 400 - 64);
        CHECK(b.counters().limited == 2000 - 400);
        now += milliseconds(1000);
        CHECK(flood(1000, one) == 50);
        now += milliseconds(60000);
        CHECK(flood(1000, one) == 64);
    }

    TEST_CASE_FIXTURE(Fixture, "a single address can be asked") {
        out = {};
        a.contact(at_b, now, out);
        REQUIRE(out.send.size() == 1);
        CHECK(out.send[0].to == at_b);
        const auto answer = reply(b, out.send[0].bytes, at_a);
        CHECK(convinces(a, answer, at_b));
    }
}

TEST_SUITE("rate limit") {
    TEST_CASE("the table of sources is bounded, and idle sources make room") {
        Time now{std::chrono::hours(1)};
        RateLimit::Config config;
        config.total = config.total_burst = 1e6;
        config.max_sources = 4;
        RateLimit limit(config, now);
        for (int i = 0; i < 4; ++i) CHECK(limit.allow(std::to_string(i), now));
        CHECK_FALSE(limit.allow("new", now));
        CHECK(limit.allow("0", now));
        now += milliseconds(10000);
        CHECK(limit.allow("new", now));
    }
}

TEST_SUITE("interfaces") {
    TEST_CASE("this device's address is that of a real network") {
        const unsigned up = IFF_UP | IFF_MULTICAST | IFF_BROADCAST;
        const std::vector<Interface> all = {
            {"docker0", 3, up, {"172.17.0.1"}, {}, false},
            {"lo", 1, IFF_UP | IFF_LOOPBACK, {"127.0.0.1"}, {}, false},
            {"eth1", 5, up, {}, {}, true},
            {"eth0", 2, up, {"10.0.0.5", "10.0.0.6"}, {}, true},
            {"wlan0", 4, up, {"192.168.1.5"}, {}, true},
        };
        CHECK(network_address(all, {}) == "10.0.0.5");
        CHECK(network_address(all, {"wlan0"}) == "192.168.1.5");
        CHECK(network_address({all[0], all[1]}, {}).empty());
    }

    TEST_CASE("a listener is reached where it is, or at each address of its family") {
        using Addresses = std::vector<std::string>;
        const unsigned up = IFF_UP | IFF_MULTICAST | IFF_BROADCAST;
        const std::vector<Interface> all = {
            {"docker0", 3, up, {"172.17.0.1"}, {}, true, {"fd00:d::1"}},
            {"eth0", 2, up, {"10.0.0.5"}, {}, true, {"2001:db8::5", "fd00::5"}},
            {"lo", 1, IFF_UP | IFF_LOOPBACK, {"127.0.0.1"}, {}, false},
            {"wlan0", 4, up, {"192.168.1.5"}, {}, true},
        };
        const auto at = [&](const char* bind, const Addresses& only = {}) {
            return listener_addresses(bind, all, only);
        };
        const Addresses both = {"10.0.0.5", "192.168.1.5", "2001:db8::5", "fd00::5"};
        CHECK(at("*") == both);
        CHECK(at("::") == both);
        CHECK(at("0::0") == both);
        CHECK(at("0.0.0.0") == Addresses{"10.0.0.5", "192.168.1.5"});
        CHECK(at("*", {"wlan0"}) == Addresses{"192.168.1.5"});
        CHECK(at("10.0.0.5") == Addresses{"10.0.0.5"});
        CHECK(at("2001:db8::5") == Addresses{"2001:db8::5"});
        // A network of IPv6 alone, and none.
        CHECK(listener_addresses("*", {{"eth0", 2, up, {}, {}, true, {"fd00::5"}}}, {}) ==
              Addresses{"fd00::5"});
        CHECK(listener_addresses("0.0.0.0", {all[0], all[2]}, {}) == Addresses{"127.0.0.1"});
    }
}

}  // namespace discovery_test
