#include "mesh/transport/accept_gate.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <cstring>
#include <map>
#include <set>
#include <string>

namespace accept_gate_test {

using namespace shoal::mesh::transport;
using namespace std::chrono_literals;

namespace {

Source address(const std::string& text) {
    sockaddr_storage storage{};
    sockaddr_in in{};
    sockaddr_in6 in6{};
    if (inet_pton(AF_INET, text.c_str(), &in.sin_addr) == 1) {
        in.sin_family = AF_INET;
        std::memcpy(&storage, &in, sizeof in);
    } else {
        REQUIRE(inet_pton(AF_INET6, text.c_str(), &in6.sin6_addr) == 1);
        in6.sin6_family = AF_INET6;
        std::memcpy(&storage, &in6, sizeof in6);
    }
    return source_of(storage);
}

/// A gate, its listener that gives strangers half a second, and a virtual clock.
struct Door {
    struct Open {
        AcceptGate::Time since;
        bool silent = true;
        bool proven = false;
    };
    AcceptGate::Time now{std::chrono::hours(1)};
    int next = 3;
    int looks = 0;  ///< questions to the system
    std::map<int, Open> open;
    AcceptGate gate{{20, 10, 4, 1000ms},
                    {[this](const auto& c) {
                         ++looks;
                         return open.contains(c.descriptor);
                     },
                     [this](const auto& c) { return open.at(c.descriptor).silent; }}};

    /// Its descriptor, or -1 when it was refused.
    int connect(const Source& source, bool silent, bool proven = false) {
        now += 1ms;
        std::erase_if(open, [&](const auto& entry) {
            return !entry.second.proven && now - entry.second.since >= 500ms;
        });
        const int descriptor = next++;
        const auto verdict = gate.arrive({descriptor, 0, source, now});
        if (verdict.closed) open.erase(verdict.closed->descriptor);
        if (!verdict.admitted) return -1;
        open[descriptor] = {now, silent, proven};
        return descriptor;
    }
    int device(const Source& source) { return connect(source, false, true); }
};

const Source kStranger = address("10.0.0.66");

}  // namespace

TEST_SUITE("accept gate") {
    TEST_CASE_FIXTURE(Door, "who says nothing makes room for whoever comes, and never grows") {
        for (int i = 0; i < 20000; ++i) {
            connect(kStranger, true);
            REQUIRE(open.size() <= 4);
        }
        // A device at the same address gets in at once, and stays.
        const int same = device(kStranger);
        REQUIRE(same >= 0);
        for (int i = 0; i < 3000; ++i) connect(kStranger, true);
        CHECK(open.contains(same));
        CHECK(gate.size() <= 20);
    }

    TEST_CASE_FIXTURE(Door, "who says something keeps his few places until the listener ends him") {
        for (int i = 0; i < 300; ++i) connect(kStranger, false);
        CHECK(open.size() == 4);
        CHECK(device(kStranger) == -1);
        // Another address is not touched.
        CHECK(device(address("10.0.0.1")) >= 0);
        now += 500ms;
        CHECK(device(kStranger) >= 0);
    }

    TEST_CASE_FIXTURE(Door,
                      "strangers of many addresses leave the places of proven devices alone") {
        std::set<int> devices;
        for (int i = 0; i < 8; ++i) {
            devices.insert(device(address("10.0.1." + std::to_string(i))));
            now += 500ms;
        }
        now += 1s;
        for (int i = 0; i < 1000; ++i) {
            connect(address("10.1." + std::to_string(i / 200) + "." + std::to_string(i % 200)),
                    true);
            REQUIRE(open.size() <= 18);
        }
        for (const int d : devices) CHECK(open.contains(d));
        // They said nothing, so there is room for one more device.
        CHECK(device(address("10.0.2.1")) >= 0);
    }

    TEST_CASE_FIXTURE(Door, "devices in all are bounded, and one that went leaves its place") {
        std::vector<int> devices;
        for (int i = 0; i < 20; ++i) {
            devices.push_back(device(address("10.0.3." + std::to_string(i))));
            REQUIRE(devices.back() >= 0);
            now += 1s;
        }
        CHECK(device(kStranger) == -1);
        open.erase(devices.front());
        CHECK(device(kStranger) >= 0);
    }

    TEST_CASE_FIXTURE(Door, "closed connections count no more, and below the limits nobody looks") {
        for (int i = 0; i < 4; ++i) device(kStranger);
        CHECK(looks == 0);
        open.clear();
        CHECK(device(kStranger) >= 0);
        CHECK(looks == 4);
        // A descriptor that comes again is another connection.
        next = 3;
        for (int i = 0; i < 100; ++i) {
            REQUIRE(device(kStranger) >= 0);
            next = 3;
            open.clear();
        }
        CHECK(gate.size() <= 2);
    }

    TEST_CASE("an address is its own source, a network of 64 bits is one") {
        CHECK(address("10.0.0.1") == address("::ffff:10.0.0.1"));
        CHECK(address("10.0.0.1") != address("10.0.0.2"));
        CHECK(address("2001:db8:1:2::1") == address("2001:db8:1:2:3:4:5:6"));
        CHECK(address("2001:db8:1:2::1") != address("2001:db8:1:3::1"));
        CHECK(address("fe80::1") != address("fe80::2"));
        CHECK(address("::1") != address("::2:0:0:1"));
        CHECK(source_of_process(7) != source_of_process(8));
    }
}

}  // namespace accept_gate_test
