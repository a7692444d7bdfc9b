#include "mesh/membership/election.hpp"

#include <doctest/doctest.h>

#include "mesh/membership/round_trip.hpp"

namespace election_test {

using namespace shoal::mesh;
using namespace shoal::mesh::membership;

namespace {

DeviceId device(std::uint8_t number) {
    DeviceId id;
    id.bytes[0] = number;
    return id;
}

/// Device 5 among others, and the counters that it stored.
struct Fixture {
    Time now{std::chrono::hours(1)};
    std::vector<std::uint64_t> stored;
    bool storing_works = true;
    ElectionConfig config;
    Election election{{device(5)},
                      config,
                      10,
                      [this](std::uint64_t counter) {
                          if (storing_works) stored.push_back(counter);
                          return storing_works;
                      },
                      now};

    void pass(milliseconds time) {
        const Time end = now + time;
        while (election.next_deadline() <= end) {
            now = std::max(now, election.next_deadline());
            election.tick(now);
        }
        now = end;
        election.tick(now);
    }
    void join(std::uint8_t number, std::int32_t priority = 0) {
        election.seen({device(number), priority}, now);
    }
    void hear(std::uint8_t from, std::uint64_t counter, std::uint8_t candidate,
              std::uint32_t followers = 0) {
        election.heard(device(from), {{counter, device(candidate)}, followers}, now);
    }
};

}  // namespace

TEST_SUITE("preference") {
    TEST_CASE("priority, then class of memory, then speed, then id") {
        const std::uint64_t gib = 1ull << 30;
        const std::vector<Candidate> rising{
            {device(9), -1, 64 * gib, 9e9}, {device(1), 0, 4 * gib, 1e9},
            {device(1), 0, 5 * gib, 2e9},   {device(2), 0, 4 * gib, 2e9},
            {device(1), 0, 8 * gib, 0},     {device(1), 1, 1 * gib, 0},
        };
        for (std::size_t i = 0; i < rising.size(); ++i) {
            for (std::size_t j = 0; j < rising.size(); ++j) {
                CAPTURE(i);
                CAPTURE(j);
                CHECK(is_preferred(rising[i], rising[j]) == (i > j));
            }
        }
    }
}

TEST_SUITE("round trip") {
    TEST_CASE("the least of the latest eight counts") {
        using std::chrono::microseconds;
        RoundTrip trip;
        CHECK(trip.get() == microseconds(-1));
        trip.add(microseconds(300));
        trip.add(microseconds(100));
        CHECK(trip.get() == microseconds(100));
        for (int i = 0; i < 7; ++i) trip.add(microseconds(500));
        CHECK(trip.get() == microseconds(100));
        trip.add(microseconds(400));
        CHECK(trip.get() == microseconds(400));
        trip.add(microseconds(-5));
        CHECK(trip.get() == microseconds(0));
    }
}

TEST_SUITE("election") {
    TEST_CASE_FIXTURE(Fixture,
                      "alone, it leads itself after the longer delay, counter stored first") {
        pass(milliseconds(999));
        CHECK_FALSE(election.root());
        CHECK(stored.empty());
        pass(milliseconds(1));
        CHECK(election.root() == device(5));
        CHECK(election.term() == Term{11, device(5)});
        CHECK(stored == std::vector<std::uint64_t>{11});
    }

    TEST_CASE_FIXTURE(Fixture, "the preferred device claims after gathering, others wait longer") {
        join(4);
        pass(milliseconds(299));
        CHECK_FALSE(election.root());
        pass(milliseconds(1));
        CHECK(election.root() == device(5));
        Fixture second;
        second.join(6);
        second.pass(milliseconds(599));
        CHECK_FALSE(second.election.root());
        second.pass(milliseconds(1));
        CHECK(second.election.root() == device(5));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a claim is adopted at once, and a claim above all counters follows") {
        join(6);
        hear(6, 40, 6);
        CHECK(election.root() == device(6));
        CHECK(election.term() == Term{40, device(6)});
        CHECK(election.state().followers == 0);
        election.lost(device(6), now);
        CHECK_FALSE(election.root());
        CHECK(election.state() == wire::ElectionState{});
        pass(config.regather);
        CHECK(election.term() == Term{41, device(5)});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a device that follows an unseen root is no reason to lead, for a while") {
        join(3);
        hear(3, 40, 9);
        pass(milliseconds(4999));
        CHECK_FALSE(election.root());
        pass(milliseconds(1));
        CHECK(election.root() == device(5));
        CHECK(election.term().counter == 41);
    }

    /// What device 5, in some position, does when it hears of a claim by device 7.
    TEST_CASE("which of two claims wins") {
        struct Row {
            const char* name;
            bool leads, followed;        // we: leading (followed or not), else following 8
            std::uint64_t ours, theirs;  // counters
            std::uint32_t their_followers;
            bool switches;
        };
        for (const Row& row : {
                 Row{"two lone roots, the other higher", true, false, 11, 20, 0, true},
                 Row{"two lone roots, we higher", true, false, 11, 5, 0, false},
                 Row{"lone meets followed, lower term", true, false, 11, 5, 1, true},
                 Row{"followed meets lone, higher term", true, true, 11, 20, 0, false},
                 Row{"followed meets followed, higher term", true, true, 11, 20, 2, true},
                 Row{"followed meets followed, lower term", true, true, 11, 5, 2, false},
                 Row{"follower hears a lone claim, higher term", false, true, 11, 20, 0, false},
                 Row{"follower hears a followed claim, higher term", false, true, 11, 20, 1, true},
                 Row{"follower hears a followed claim, lower term", false, true, 11, 5, 1, false},
             }) {
            CAPTURE(row.name);
            Fixture f;
            f.join(8);
            if (row.leads) {
                f.pass(milliseconds(900));
                REQUIRE(f.election.term() == Term{row.ours, device(5)});
                if (row.followed) f.hear(8, row.ours, 5);
            } else {
                f.hear(8, row.ours, 8, 1);
            }
            const Term before = f.election.term();
            f.join(7);
            f.hear(7, row.theirs, 7, row.their_followers);
            CHECK(f.election.term() == (row.switches ? Term{row.theirs, device(7)} : before));
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a root that hands over takes its followers along") {
        join(7);
        join(8);
        hear(7, 20, 7, 1);
        REQUIRE(election.root() == device(7));
        hear(8, 21, 8);
        CHECK(election.root() == device(7));
        hear(7, 21, 8);
        CHECK(election.root() == device(8));
    }

    TEST_CASE_FIXTURE(Fixture, "it takes over from a root of lower priority, and only from such") {
        join(7, -1);
        hear(7, 20, 7, 3);
        pass(milliseconds(1999));
        CHECK(election.root() == device(7));
        pass(milliseconds(1));
        CHECK(election.term() == Term{21, device(5)});
        // The old root has not heard of it yet.
        hear(7, 20, 7, 3);
        CHECK(election.root() == device(5));
        Fixture equal;
        equal.join(4, 0);
        equal.hear(4, 20, 4, 3);
        equal.pass(milliseconds(60000));
        CHECK(equal.election.root() == device(4));
        Fixture third;  // Somebody else is still better: it is the one to take over.
        third.join(7, -1);
        third.join(9, 2);
        third.hear(7, 20, 7, 3);
        third.pass(milliseconds(60000));
        CHECK(third.election.root() == device(7));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a takeover that the old root ignores is given up, then tried again") {
        join(7, -1);
        hear(7, 20, 7, 3);
        pass(milliseconds(2000));
        REQUIRE(election.root() == device(5));
        pass(milliseconds(2001));
        hear(7, 20, 7, 3);
        CHECK(election.root() == device(7));
        pass(milliseconds(2000));
        CHECK(election.term() == Term{22, device(5)});
    }

    TEST_CASE_FIXTURE(Fixture, "a root hands over to a higher priority that it knows for a while") {
        join(4);
        pass(milliseconds(500));
        hear(4, 11, 5);
        REQUIRE(election.root() == device(5));
        join(7, 1);
        hear(7, 12, 7);
        CHECK(election.root() == device(5));
        pass(milliseconds(1000));
        hear(7, 12, 7);
        CHECK(election.root() == device(7));
    }

    TEST_CASE_FIXTURE(Fixture, "without a stored counter there is no claim") {
        storing_works = false;
        pass(milliseconds(5000));
        CHECK_FALSE(election.root());
        storing_works = true;
        pass(milliseconds(1000));
        CHECK(election.root() == device(5));
    }

    TEST_CASE_FIXTURE(Fixture, "what strangers say is not heard") {
        hear(9, 40, 9, 5);
        CHECK_FALSE(election.root());
    }
}

}  // namespace election_test
