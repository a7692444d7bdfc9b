#include "daemon/core/measuring.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/virtual_loop.hpp"

namespace measuring_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::minutes;

namespace {

// A device whose measurement a test plays.
class Scripted final : public SelfMeasurement {
  public:
    BenchReply report() const override { return known; }
    std::stop_source measure(Progress told, Measured ended) override {
        ++begun;
        progress = std::move(told);
        done = std::move(ended);
        return stop = std::stop_source();
    }
    void adopt(const Profile& profile, std::function<void()> stored) override {
        known.profile = profile;
        known.origin = ProfileOrigin::measured;
        stored();
    }

    BenchReply known;
    int begun = 0;
    Progress progress;
    Measured done;
    std::stop_source stop;
};

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    Scripted device;
    std::size_t jobs = 0;
    std::uint64_t steps = 5;
    int changes = 0;
    bool reading = false;
    std::vector<std::function<void()>> settling;
    Measuring measuring{loop,
                        &device,
                        {[this] { return jobs; }, [this] { return steps; }, [this] { ++changes; },
                         [this](std::function<void()> done) {
                             reading ? settling.push_back(std::move(done))
                                     : loop.post(std::move(done));
                         }}};
    std::vector<Event> events;

    void ask(bool show = false) {
        measuring.ask({show}, [this](const Event& event) { events.push_back(event); });
    }
    void listen() { time.pass(milliseconds(300)); }
    static DeviceProfile faster() {
        DeviceProfile profile;
        profile.elements = 7;
        return profile;
    }
    ErrorCode code() const {
        const auto* failed = events.empty() ? nullptr : std::get_if<Failed>(&events.back());
        return failed == nullptr ? ErrorCode{} : failed->code;
    }
};

}  // namespace

TEST_SUITE("Measuring") {
    TEST_CASE_FIXTURE(Fixture, "what is asked for is measured, told of and known from then on") {
        device.known.origin = ProfileOrigin::measured;
        ask();
        CHECK(device.begun == 0);  // it listens first
        listen();
        REQUIRE(device.begun == 1);
        device.progress(2, 9);
        device.done(faster(), "");
        REQUIRE(events.size() == 2);
        CHECK(std::get<Progress>(events[0]).done == 2);
        CHECK(std::get<Progress>(events[0]).total == 9);
        CHECK(std::get<BenchReply>(events[1]).profile == faster());
        CHECK(changes == 1);
        CHECK(measuring.profile() == faster());
        ask();
        listen();
        CHECK(device.begun == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "showing measures nothing, whatever runs") {
        jobs = 1;
        device.known.date = "today";
        ask(true);
        REQUIRE(events.size() == 1);
        CHECK(std::get<BenchReply>(events[0]).date == "today");
        time.pass(minutes(5));
        CHECK(device.begun == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "nothing is measured while a generation runs") {
        SUBCASE("which this device leads") {
            jobs = 1;
            ask();
        }
        SUBCASE("which another one leads") {
            ask();
            ++steps;
            listen();
        }
        CHECK(code() == ErrorCode::busy);
        CHECK(device.begun == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "what a generation disturbs is dropped") {
        ask();
        listen();
        REQUIRE(device.begun == 1);
        SUBCASE("and stopped when it is noticed") {
            jobs = 1;
            device.progress(1, 9);
            CHECK(device.stop.stop_requested());
            device.done(std::nullopt, "");
        }
        SUBCASE("also at the very end, and when it is over by then") {
            ++steps;
            device.done(faster(), "");
        }
        SUBCASE("also when it came and went meanwhile") {
            jobs = 1;
            device.progress(1, 9);
            jobs = 0;
            device.done(faster(), "");
        }
        CHECK(code() == ErrorCode::busy);
        CHECK(changes == 0);
        CHECK(measuring.profile() == DeviceProfile());
    }

    TEST_CASE_FIXTURE(Fixture,
                      "what is not known is measured at the start, and after generations") {
        jobs = 1;
        measuring.start();
        listen();
        CHECK(device.begun == 0);
        jobs = 0;
        time.pass(minutes(1) + milliseconds(300));
        REQUIRE(device.begun == 1);
        device.done(faster(), "");
        CHECK(changes == 1);
        time.pass(minutes(10));
        CHECK(device.begun == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "reading files comes before measuring at the start") {
        reading = true;
        measuring.start();
        time.pass(minutes(10));
        CHECK(device.begun == 0);
        REQUIRE(settling.size() == 1);
        loop.post(settling.front());
        listen();
        CHECK(device.begun == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "what is known or given is not measured at the start") {
        for (const auto origin : {ProfileOrigin::measured, ProfileOrigin::given}) {
            device.known.origin = origin;
            measuring.start();
            time.pass(minutes(10));
        }
        CHECK(device.begun == 0);
        ask();  // given
        CHECK(code() == ErrorCode::bad_request);
    }

    TEST_CASE_FIXTURE(Fixture, "a failure is told, and not tried again by itself") {
        measuring.start();
        listen();
        ask();  // takes part in what runs already
        CHECK(device.begun == 1);
        device.done(std::nullopt, "there is not enough memory");
        CHECK(code() == ErrorCode::internal);
        time.pass(minutes(10));
        CHECK(device.begun == 1);
        CHECK(changes == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a client that goes stops it; the next one may ask at once") {
        device.known.origin = ProfileOrigin::measured;
        SUBCASE("before it began") {
            ask();
            measuring.cancel();
            CHECK(code() == ErrorCode{});
            listen();
            CHECK(device.begun == 0);
        }
        SUBCASE("while it runs") {
            ask();
            listen();
            measuring.cancel();
            CHECK(device.stop.stop_requested());
            ask();
            CHECK(code() == ErrorCode::busy);
            events.clear();
            device.done(std::nullopt, "");
            CHECK(events.empty());
        }
        const int before = device.begun;
        ask();
        listen();
        CHECK(device.begun == before + 1);
    }

    TEST_CASE_FIXTURE(Fixture, "two clients do not measure at one time") {
        ask();
        ask();
        CHECK(code() == ErrorCode::busy);
        listen();
        CHECK(device.begun == 1);
        device.done(faster(), "");
        CHECK(std::holds_alternative<BenchReply>(events.back()));
    }

    TEST_CASE("a device without a measurement says so") {
        VirtualTime time;
        VirtualLoop loop(time);
        Measuring measuring(loop, nullptr, {});
        measuring.start();
        std::vector<Event> events;
        measuring.ask({}, [&](const Event& event) { events.push_back(event); });
        REQUIRE(events.size() == 1);
        CHECK(std::get<Failed>(events[0]).code == ErrorCode::unavailable);
        CHECK(measuring.profile() == DeviceProfile());
        measuring.cancel();
    }
}

}  // namespace measuring_test
