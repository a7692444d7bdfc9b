#include "mesh/membership/membership.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace membership_test {

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
    Membership machine{device(1), 9, {}, {}, [this] { return next_session++; }, now};
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
        hear(number, wire::Hello{theirs, ours, {}, {}, 1});
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
    /// Ours, as the latest heartbeat said.
    std::uint64_t clock() const { return last_sent<wire::Heartbeat>().clock_us; }
    void clear() { actions.clear(); }
};

}  // namespace

TEST_SUITE("membership") {
    TEST_CASE_FIXTURE(Fixture, "a device is a member once it quoted our session") {
        find(2);
        CHECK(count<Connect>() == 1);
        CHECK(last_sent<wire::Hello>().from == 100);
        CHECK(last_sent<wire::Hello>().to == 0);
        hear(2, wire::Hello{7, 0, {}, {}, 1});
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
        hear(3, wire::Hello{1, 0, {}, {}, 1});
        CHECK(count<Joined>() == 0);
        CHECK_FALSE(machine.accept(device(3), {0, wire::Lane::small, 0, {}}, now, actions));
        CHECK(machine.peers().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "repeated hellos are answered without end, but not by hellos") {
        join(2, 7, 100);
        clear();
        hear(2, wire::Hello{7, 100, {}, {}, 1});
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
        // Its process died, and its connections with it.
        machine.broken(device(2), now);
        find(2, 2);
        CHECK(count<Lost>() == 1);
        CHECK(count<Clash>() == 0);
        CHECK(count<Disconnect>() == 1);
        CHECK(count<Connect>() == 1);
        CHECK(last_sent<wire::Hello>().from == 101);
        hear(2, wire::Hello{8, 101, {}, {}, 2});
        CHECK(count<Joined>() == 1);
        clear();
        hear(2, wire::Hello{9, 101, {}, {}, 2});
        CHECK(count<Lost>() == 1);
        CHECK(count<Joined>() == 0);
        CHECK(last_sent<wire::Hello>().from == 102);
        CHECK(last_sent<wire::Hello>().to == 9);
        hear(2, wire::Heartbeat{101, 1, 0, 0, {}});
        CHECK(count<Joined>() == 0);
        hear(2, wire::Heartbeat{102, 1, 0, 0, {}});
        CHECK(count<Joined>() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a restart whose end was not seen is believed after a silence") {
        join(2, 7, 100);
        clear();
        find(2, 2);
        now += milliseconds(1000);
        find(2, 2);
        CHECK(count<Lost>() == 0);
        now += milliseconds(200);
        find(2, 2);
        CHECK(count<Lost>() == 1);
        CHECK(count<Connect>() == 1);
        CHECK(count<Clash>() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "of two processes with one key the member stays, and is told of") {
        join(2, 7, 100);
        clear();
        find(2, 5);
        CHECK(count<Clash>() == 0);  // It may have been restarted.
        // The other one says hello over a connection of its own, with the same key.
        hear(2, wire::Hello{8, 0, {}, {}, 5});
        CHECK(actions.empty());
        for (int i = 0; i < 60; ++i) {
            now += milliseconds(500);
            hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
            find(2, 5);
            hear(2, wire::Hello{8, 0, {}, {}, 5});
        }
        CHECK(count<Lost>() == 0);
        CHECK(count<Clash>() == 60);
        // The member ends: the other takes its place.
        clear();
        machine.broken(device(2), now);
        find(2, 5);
        CHECK(count<Lost>() == 1);
        hear(2, wire::Hello{8, 101, {}, {}, 5});
        CHECK(count<Joined>() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "of two processes with one key the one that runs longer is taken") {
        const auto found = [&](std::uint64_t instance, Time started) {
            machine.found({device(2), {}, instance, "10.0.1.2", 4000, 5000, started}, now, actions);
        };
        const Time long_ago = now - std::chrono::hours(1);
        found(1, now);
        hear(2, wire::Hello{7, 100, {}, {}, 1});
        found(5, long_ago);
        now += milliseconds(500);
        hear(2, wire::Heartbeat{100, 1, 0, 0, {}});
        clear();
        found(5, long_ago);
        CHECK(count<Clash>() == 1);
        CHECK(count<Lost>() == 1);
        hear(2, wire::Hello{8, 101, {}, {}, 5});
        CHECK(count<Joined>() == 1);
        // And it stays.
        clear();
        for (int i = 0; i < 10; ++i) {
            now += milliseconds(500);
            hear(2, wire::Heartbeat{101, 1, 0, 0, {}});
            found(1, long_ago + std::chrono::minutes(59));
        }
        CHECK(count<Lost>() == 0);
        CHECK(count<Clash>() > 0);
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

    TEST_CASE_FIXTURE(Fixture,
                      "a mark behind a lane's messages tells that the last ones are lost") {
        join(2, 7, 100);
        for (std::uint64_t i = 0; i < 2; ++i) {
            CHECK(machine.accept(device(2), {100, wire::Lane::small, i, {}}, now, actions));
        }
        clear();
        hear(2, wire::Mark{100, wire::Lane::small, 2});
        hear(2, wire::Mark{100, wire::Lane::small, 1});  // made before the last one
        hear(2, wire::Mark{99, wire::Lane::small, 9});   // of another conversation
        CHECK(count<Lost>() == 0);
        hear(2, wire::Mark{100, wire::Lane::bulk, 1});
        CHECK(count<Lost>() == 1);
        CHECK(last_sent<wire::Hello>().from == 101);
    }

    TEST_CASE_FIXTURE(Fixture, "marks go with each heartbeat, on the lanes that were used") {
        join(2, 7, 100);
        pass(milliseconds(500));
        CHECK(count_sent<wire::Mark>() == 0);
        machine.sent(device(2), wire::Lane::bulk);
        machine.sent(device(2), wire::Lane::bulk);
        for (std::size_t beats = 1; beats < 4; ++beats) {
            pass(milliseconds(500));
            CHECK(count_sent<wire::Mark>() == beats);
            CHECK(last_sent<wire::Mark>() == wire::Mark{7, wire::Lane::bulk, 2});
        }
        // Another conversation counts anew.
        hear(2, wire::Hello{8, 0, {}, {}, 1});
        hear(2, wire::Hello{8, 101, {}, {}, 1});
        clear();
        pass(milliseconds(500));
        CHECK(count_sent<wire::Heartbeat>() == 1);
        CHECK(count_sent<wire::Mark>() == 0);
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

    TEST_CASE_FIXTURE(Fixture, "a description is sent again until it is known to have come") {
        join(2, 7, 100);
        hear(2, wire::Heartbeat{100, 1, clock(), 0, {}, 1});
        DeviceDescription changed;
        changed.name = "renamed";
        machine.describe(changed, now, actions);
        CHECK(last_sent<wire::Describe>() == wire::Describe{7, changed, 2});
        // What it has heard so far was sent before.
        hear(2, wire::Heartbeat{100, 2, clock(), 0, {}, 1});
        CHECK(count_sent<wire::Describe>() == 1);
        for (std::size_t times = 2; times < 4; ++times) {
            pass(milliseconds(500));
            hear(2, wire::Heartbeat{100, 3, clock(), 0, {}, 1});
            CHECK(count_sent<wire::Describe>() == times);
            hear(2, wire::Heartbeat{100, 4, clock(), 0, {}, 1});  // this one is on its way
            CHECK(count_sent<wire::Describe>() == times);
        }
        CHECK(last_sent<wire::Describe>() == wire::Describe{7, changed, 2});
        pass(milliseconds(500));
        hear(2, wire::Heartbeat{100, 5, clock(), 0, {}, 2});
        CHECK(count_sent<wire::Describe>() == 3);
    }

    TEST_CASE_FIXTURE(Fixture, "heartbeats say which description of the member is known") {
        find(2);
        hear(2, wire::Hello{7, 100, {}, {}, 1, 5});
        CHECK(last_sent<wire::Heartbeat>().known == 5);
        DeviceDescription changed;
        changed.name = "renamed";
        hear(2, wire::Describe{100, changed, 6});
        CHECK(machine.member(device(2))->description == changed);
        pass(milliseconds(500));
        CHECK(last_sent<wire::Heartbeat>().known == 6);
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

}  // namespace membership_test
