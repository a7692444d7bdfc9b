#include "mesh/membership/membership.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace shoal::mesh;
using namespace shoal::mesh::membership;

namespace {

DeviceId device(std::uint8_t number) {
    DeviceId id;
    id.bytes[0] = number;
    return id;
}

/// Device 1; its sessions are 100, 101, ...
struct Fixture {
    Time now{std::chrono::hours(1)};
    std::uint64_t next_session = 100;
    Membership machine{device(1), {}, {}, [this] { return next_session++; }, now};
    Actions actions;

    void find(std::uint8_t number, std::uint64_t instance = 1) {
        machine.found(
            {device(number), {}, instance, "10.0.0." + std::to_string(number), 4000, 5000}, now,
            actions);
    }
    void hear(std::uint8_t from, const wire::ControlMessage& message) {
        machine.received(device(from), message, now, actions);
    }
    void join(std::uint8_t number, wire::Session theirs, wire::Session ours) {
        find(number);
        hear(number, wire::Hello{theirs, ours, {}, {}});
    }
    void pass(milliseconds time) {
        const Time end = now + time;
        while (machine.next_deadline() <= end) {
            now = std::max(now, machine.next_deadline());
            machine.tick(now, actions);
        }
        now = end;
    }
    /// Counts the actions of a type since the last call of clear().
    template <typename T>
    std::size_t count() const {
        return static_cast<std::size_t>(std::ranges::count_if(
            actions, [](const Action& a) { return std::holds_alternative<T>(a); }));
    }
    template <typename T>
    std::size_t count_sent() const {
        return static_cast<std::size_t>(std::ranges::count_if(actions, [](const Action& a) {
            const auto* send = std::get_if<Send>(&a);
            return send != nullptr && std::holds_alternative<T>(send->message);
        }));
    }
    template <typename T>
    T last_sent() const {
        for (auto it = actions.rbegin(); it != actions.rend(); ++it) {
            const auto* send = std::get_if<Send>(&*it);
            if (send == nullptr) continue;
            if (const auto* message = std::get_if<T>(&send->message)) return *message;
        }
        FAIL("no such message was sent");
        return {};
    }
    void clear() { actions.clear(); }
};

}  // namespace

TEST_SUITE("membership") {
    TEST_CASE_FIXTURE(Fixture, "a device is a member once it quoted our session") {
        find(2);
        CHECK(count<Connect>() == 1);
        CHECK(last_sent<wire::Hello>().from == 100);
        CHECK(last_sent<wire::Hello>().to == 0);
        hear(2, wire::Hello{7, 0, {}, {}});
        CHECK(count<Joined>() == 0);
        CHECK(last_sent<wire::Hello>().to == 7);
        CHECK(machine.member(device(2)) == nullptr);
        hear(2, wire::Heartbeat{99, 1, 0, 0, {}});
        CHECK(count<Joined>() == 0);
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
        CHECK(count<Joined>() == 1);
        CHECK(last_sent<wire::Heartbeat>().to == 7);
        CHECK(machine.is_settled(device(2), 1));
        CHECK_FALSE(machine.is_settled(device(2), 2));
    }

    TEST_CASE_FIXTURE(Fixture, "messages before a hello, and of strangers, are ignored") {
        find(2);
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
        hear(3, wire::Hello{1, 0, {}, {}});
        CHECK(count<Joined>() == 0);
        CHECK_FALSE(machine.accept(device(3), {0, wire::Lane::small, 0, {}}, now, actions));
        CHECK(machine.peers().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "repeated hellos are answered without end, but not by hellos") {
        join(2, 7, 100);
        clear();
        hear(2, wire::Hello{7, 100, {}, {}});
        CHECK(count_sent<wire::Hello>() == 0);
        CHECK(count_sent<wire::Heartbeat>() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "hellos are repeated, and a device that never answers is dropped") {
        find(2);
        clear();
        pass(milliseconds(4999));
        CHECK(count_sent<wire::Hello>() == 24);
        CHECK(count<Disconnect>() == 0);
        pass(milliseconds(1));
        CHECK(count<Disconnect>() == 1);
        CHECK(count<Lost>() == 0);
        CHECK(machine.peers().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "silence makes a member suspect, then lost") {
        join(2, 7, 100);
        clear();
        pass(milliseconds(1999));
        CHECK(count_sent<wire::Heartbeat>() == 3);
        CHECK(machine.member(device(2))->state == PeerState::alive);
        pass(milliseconds(1));
        CHECK(machine.member(device(2))->state == PeerState::suspect);
        CHECK_FALSE(machine.is_settled(device(2), 1));
        CHECK(count<Updated>() == 1);
        clear();
        pass(milliseconds(1000));
        CHECK(count_sent<wire::Heartbeat>() >= 4);  // twice as often
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
        CHECK(machine.member(device(2))->state == PeerState::alive);
        clear();
        pass(milliseconds(3999));
        CHECK(count<Lost>() == 0);
        pass(milliseconds(1));
        CHECK(count<Lost>() == 1);
        CHECK(count<Disconnect>() == 1);
        CHECK(machine.peers().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a broken connection shortens the wait, unless the member goes on") {
        join(2, 7, 100);
        machine.broken(device(2), now);
        pass(milliseconds(999));
        CHECK(count<Lost>() == 0);
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
        pass(milliseconds(1500));
        CHECK(count<Lost>() == 0);
        machine.broken(device(2), now);
        pass(milliseconds(99));
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});  // was on its way already
        pass(milliseconds(900));
        CHECK(count<Lost>() == 0);
        pass(milliseconds(1));
        CHECK(count<Lost>() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a restart is seen from the beacon and from the hello") {
        join(2, 7, 100);
        clear();
        find(2, 1);
        CHECK(actions.empty());
        find(2, 2);
        CHECK(count<Lost>() == 1);
        CHECK(count<Disconnect>() == 1);
        CHECK(count<Connect>() == 1);
        CHECK(last_sent<wire::Hello>().from == 101);
        hear(2, wire::Hello{8, 101, {}, {}});
        CHECK(count<Joined>() == 1);
        clear();
        hear(2, wire::Hello{9, 101, {}, {}});
        CHECK(count<Lost>() == 1);
        CHECK(count<Joined>() == 0);
        CHECK(last_sent<wire::Hello>().from == 102);
        CHECK(last_sent<wire::Hello>().to == 9);
        hear(2, wire::Heartbeat{101, 1, 0, 0, {}});
        CHECK(count<Joined>() == 0);
        hear(2, wire::Heartbeat{102, 1, 0, 0, {}});
        CHECK(count<Joined>() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a farewell counts only within the conversation") {
        join(2, 7, 100);
        hear(2, wire::Leave{99});
        CHECK(count<Lost>() == 0);
        hear(2, wire::Leave{100});
        CHECK(count<Lost>() == 1);
        join(3, 8, 101);
        clear();
        machine.leave(actions);
        CHECK(last_sent<wire::Leave>().to == 8);
        CHECK(machine.peers().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "application messages count up per lane, and a gap ends it") {
        join(2, 7, 100);
        const auto accept = [&](wire::Lane lane, std::uint64_t sequence) {
            return machine.accept(device(2), {100, lane, sequence, {}}, now, actions);
        };
        CHECK(accept(wire::Lane::small, 0));
        CHECK(accept(wire::Lane::small, 1));
        CHECK(accept(wire::Lane::bulk, 0));
        CHECK(count<Lost>() == 0);
        clear();
        CHECK_FALSE(accept(wire::Lane::small, 3));
        CHECK(count<Lost>() == 1);
        CHECK(last_sent<wire::Hello>().from == 101);
        CHECK_FALSE(accept(wire::Lane::small, 2));
        CHECK_FALSE(machine.next_header(device(2), wire::Lane::small));
    }

    TEST_CASE_FIXTURE(Fixture, "sequence numbers advance only for what was sent") {
        join(2, 7, 100);
        const auto next = [&](wire::Lane lane) {
            return machine.next_header(device(2), lane).value().sequence;
        };
        CHECK(next(wire::Lane::small) == 0);
        CHECK(next(wire::Lane::small) == 0);
        machine.sent(device(2), wire::Lane::small);
        CHECK(next(wire::Lane::small) == 1);
        CHECK(next(wire::Lane::bulk) == 0);
        CHECK(machine.next_header(device(2), wire::Lane::small)->to == 7);
        CHECK_FALSE(machine.next_header(device(9), wire::Lane::small));
    }

    TEST_CASE_FIXTURE(Fixture, "the round trip is what the echo took less what it was held") {
        join(2, 7, 100);
        const auto sent = last_sent<wire::Heartbeat>();
        now += milliseconds(30);
        hear(2, wire::Heartbeat{100, 55, sent.clock_us, 20000, {}});
        CHECK(machine.member(device(2))->round_trip.get() == std::chrono::microseconds(10000));
        CHECK(last_sent<wire::Heartbeat>().echo_clock_us == 55);
        // Echoes of what was never sent are not believed.
        hear(2, wire::Heartbeat{100, 56, ~std::uint64_t{0}, 1, {}});
        hear(2, wire::Heartbeat{100, 57, sent.clock_us, 0xffffffff, {}});
        CHECK(machine.member(device(2))->round_trip.get() == std::chrono::microseconds(10000));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a new term is told at once, a number of followers with the next beat") {
        join(2, 7, 100);
        clear();
        wire::ElectionState state{{3, device(1)}, 0};
        machine.announce(state, now, actions);
        CHECK(last_sent<wire::Heartbeat>().election == state);
        state.followers = 1;
        machine.announce(state, now, actions);
        CHECK(count_sent<wire::Heartbeat>() == 2);
        state.followers = 2;
        machine.announce(state, now, actions);
        machine.announce(state, now, actions);
        CHECK(count_sent<wire::Heartbeat>() == 2);
        pass(milliseconds(500));
        CHECK(last_sent<wire::Heartbeat>().election == state);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "sightings lead to unknown devices, but not across machines to a loopback") {
        join(2, 7, 100);
        clear();
        hear(2, wire::Sightings{100,
                                {{device(1), "10.0.0.1", 5000},
                                 {device(2), "10.0.0.2", 5000},
                                 {device(3), "10.0.0.3", 5000},
                                 {device(4), "127.0.0.1", 5000},
                                 {device(5), "fe80::1%eth0", 5000},
                                 {device(6), "10.0.0.6", 0}}});
        REQUIRE(count<Contact>() == 1);
        CHECK(std::get<Contact>(actions.back()).host == "10.0.0.3");
        join(3, 8, 101);
        clear();
        pass(milliseconds(200));
        CHECK(count_sent<wire::Sightings>() == 2);
        CHECK(last_sent<wire::Sightings>().devices.size() == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "the number of devices is bounded") {
        for (std::uint32_t i = 0; i < kMaxPeers + 10; ++i) {
            Found found;
            found.id.bytes[1] = static_cast<std::uint8_t>(i);
            found.id.bytes[2] = static_cast<std::uint8_t>(i >> 8);
            found.instance = 1;
            machine.found(found, now, actions);
        }
        CHECK(machine.peers().size() == kMaxPeers);
    }

    TEST_CASE_FIXTURE(Fixture, "it never finds itself") {
        find(1);
        CHECK(actions.empty());
    }
}
