#include "daemon/plan/exclusions.hpp"

#include <doctest/doctest.h>

#include "tests/daemon/support.hpp"

namespace exclusions_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;

namespace {

const mesh::DeviceId kTwo = device_id(2);
const Exclusions::Time kStart = Exclusions::Time() + 1h;

// For how long a device is left out from `now` on.
Exclusions::Time::duration pause(const Exclusions& exclusions, Exclusions::Time now) {
    Exclusions::Time::duration out{};
    while (exclusions.reason(kTwo, now + out)) out += 1s;
    return out;
}

}  // namespace

TEST_SUITE("Exclusions") {
    TEST_CASE("a device that fails again and again is tried less and less often") {
        Exclusions exclusions;
        auto now = kStart;
        CHECK_FALSE(exclusions.reason(kTwo, now));
        Exclusions::Time::duration expected = Exclusions::kFirstPause;
        for (int n = 0; n < 40; ++n) {
            exclusions.failed(kTwo, "no room", now);
            CHECK(exclusions.reason(kTwo, now) == "no room");
            CHECK(pause(exclusions, now) == expected);
            now += expected + 1s;
            expected =
                std::min<Exclusions::Time::duration>(2 * expected, Exclusions::kLongestPause);
        }
    }

    TEST_CASE("a fault is forgotten after a while without another") {
        Exclusions exclusions;
        for (int n = 0; n < 3; ++n) exclusions.failed(kTwo, "no room", kStart);
        const auto later = kStart + pause(exclusions, kStart) + Exclusions::kMemory + 1s;
        exclusions.failed(kTwo, "no room", later);
        CHECK(pause(exclusions, later) == Exclusions::kFirstPause);
    }

    TEST_CASE("switching a device off and on is no fault, being lost again and again is") {
        Exclusions exclusions;
        auto now = kStart;
        for (std::uint32_t n = 0; n < Exclusions::kFreeLosses; ++n) {
            exclusions.lost(kTwo, now);
            exclusions.joined(kTwo, now += 1s);
            CHECK_FALSE(exclusions.reason(kTwo, now));
        }
        exclusions.lost(kTwo, now);
        exclusions.joined(kTwo, now);
        REQUIRE(exclusions.reason(kTwo, now));
        CHECK(exclusions.reason(kTwo, now)->find("3 times") != std::string::npos);
        CHECK(pause(exclusions, now) == Exclusions::kFirstPause);
        exclusions.lost(kTwo, now);
        CHECK(pause(exclusions, now) == 2 * Exclusions::kFirstPause);
    }

    TEST_CASE("a device that starts again is tried at once, and is no less suspicious") {
        Exclusions exclusions;
        exclusions.failed(kTwo, "no room", kStart);
        exclusions.joined(kTwo, kStart + 1s);
        CHECK_FALSE(exclusions.reason(kTwo, kStart + 1s));
        CHECK(exclusions.suspicious(kTwo));
        exclusions.failed(kTwo, "no room", kStart + 2s);
        CHECK(pause(exclusions, kStart + 2s) == 2 * Exclusions::kFirstPause);
    }
}

}  // namespace exclusions_test
