#include "daemon/requests/outbox.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "tests/daemon/support.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace outbox_test {

using namespace shoal;
using namespace shoal::tests;
using std::chrono::milliseconds;

namespace {

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    std::size_t room = 0;
    std::vector<std::pair<mesh::DeviceId, std::size_t>> sent;
    Outbox outbox{loop, [this](const mesh::DeviceId& to, const std::vector<std::byte>& message) {
                      if (room == 0) return false;
                      --room;
                      sent.emplace_back(to, message.size());
                      return true;
                  }};
    bool send(std::uint8_t device, std::size_t bytes) {
        return outbox.send(device_id(device), std::vector<std::byte>(bytes));
    }
};

}  // namespace

TEST_SUITE("Outbox") {
    TEST_CASE_FIXTURE(Fixture, "what cannot be sent waits, in order, for each device") {
        room = 1;
        CHECK(send(2, 1));
        CHECK(send(2, 2));
        room = 1;
        CHECK(send(2, 3));  // not before the one that waits
        CHECK(sent.size() == 1);
        CHECK(send(3, 9));
        CHECK(sent.size() == 2);
        room = 5;
        time.pass(milliseconds(100));
        REQUIRE(sent.size() == 4);
        CHECK(sent[2] == std::pair(device_id(2), std::size_t{2}));
        CHECK(sent[3] == std::pair(device_id(2), std::size_t{3}));
        CHECK(send(2, 4));
        CHECK(sent.size() == 5);
        CHECK_FALSE(time.next());  // nothing waits, nothing is looked at
    }

    TEST_CASE_FIXTURE(Fixture, "a device that is far behind is sent nothing more") {
        const std::size_t quarter = Outbox::kMaxBytes / 4;
        for (int i = 0; i < 4; ++i) CHECK(send(2, quarter));
        CHECK_FALSE(send(2, 1));
        CHECK(send(3, 1));
        room = 1;
        time.pass(milliseconds(100));
        CHECK(send(2, quarter));
        CHECK_FALSE(send(2, 1));
        outbox.drop(device_id(2));
        CHECK(send(2, 1));
        outbox.drop(device_id(2));
        outbox.drop(device_id(3));
        time.pass(milliseconds(100));
        CHECK_FALSE(time.next());
    }
}

}  // namespace outbox_test
