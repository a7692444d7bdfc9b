#include "daemon/requests/replies.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "tests/daemon/requests/scripted_ports.hpp"

namespace replies_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    ScriptedPorts ports;
    std::vector<std::uint64_t> own;
    std::vector<Origin> lost;
    Replies replies{loop,
                    ports,
                    seconds(30),
                    {[this](std::uint64_t id, const Event&) { own.push_back(id); },
                     [this](const Origin& origin) { lost.push_back(origin); }}};
    const Origin seven{device_id(2), 7};
};

}  // namespace

TEST_SUITE("Replies") {
    TEST_CASE_FIXTURE(Fixture, "events go to their device, or stay here") {
        replies.send(seven, Token{});
        replies.send({device_id(1), 3}, Token{});
        CHECK(ports.events_to(2, 7).size() == 1);
        CHECK(own == std::vector<std::uint64_t>{3});
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "what finds no room ends its request, which is said once") {
        ports.room = false;
        replies.send(seven, Token{0});
        CHECK(lost.empty());  // not in the middle of what the sender does
        time.settle();
        CHECK(lost == std::vector<Origin>{seven});
        replies.send(seven, Token{1});
        replies.send(seven, Done{});
        time.pass(milliseconds(100));
        ports.room = true;
        replies.send(seven, Token{2});  // behind a hole
        CHECK(ports.events_to(2, 7).empty());
        time.pass(milliseconds(100));
        REQUIRE(ports.events_to(2, 7).size() == 1);
        CHECK(code_of(ports.events_to(2, 7)[0]) == ErrorCode::unavailable);
        CHECK(lost.size() == 1);
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "a final event that finds no room is the one that comes") {
        ports.room = false;
        replies.send(seven, Done{});
        time.pass(milliseconds(150));
        ports.room = true;
        time.pass(milliseconds(50));
        REQUIRE(ports.events_to(2, 7).size() == 1);
        CHECK(std::holds_alternative<Done>(ports.events_to(2, 7)[0]));
    }

    TEST_CASE_FIXTURE(Fixture, "what is forgotten, or cannot be said for long, is owed no more") {
        ports.room = false;
        replies.send(seven, Done{});
        replies.send({device_id(3), 7}, Done{});
        replies.forget_if([](const Origin& origin) { return origin.device == device_id(3); });
        time.settle();
        CHECK(lost == std::vector<Origin>{seven});
        time.pass(seconds(30));
        CHECK(time.next());
        time.pass(milliseconds(100));
        CHECK_FALSE(time.next());
        ports.room = true;
        time.pass(seconds(1));
        CHECK(ports.events.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "only so many ends are owed, the newest") {
        ports.room = false;
        for (std::uint64_t id = 0; id <= Replies::kMaxOwed; ++id) {
            replies.send({device_id(2), id}, Done{});
        }
        ports.room = true;
        time.pass(milliseconds(100));
        CHECK(ports.events.size() == Replies::kMaxOwed);
        CHECK(ports.events_to(2, 0).empty());
    }
}

}  // namespace replies_test
