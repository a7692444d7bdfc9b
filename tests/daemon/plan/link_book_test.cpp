#include "daemon/plan/link_book.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/daemon/support.hpp"

namespace link_book_test {

using namespace shoal;
using namespace shoal::tests;

namespace {

KnownLink link(double exchange_us, double there_mb, double back_mb) {
    KnownLink out;
    out.there = {exchange_us * 1e-6, there_mb * 1e6};
    out.back = {exchange_us * 1e-6, back_mb * 1e6};
    out.date = "2026-11-29T16:40:00Z";
    return out;
}

planner::Cluster cluster(std::size_t devices) {
    planner::Cluster out;
    out.devices.resize(devices);
    return out;
}

}  // namespace

TEST_SUITE("link book") {
    TEST_CASE("a plan's links are those of its devices, in its order and both ways") {
        KnownLinks known;
        CHECK(take_down(known, device_id(1), device_id(2), link(1000, 10, 20)));
        CHECK(take_down(known, device_id(3), device_id(1), link(3000, 30, 40)));
        CHECK(take_down(known, device_id(3), device_id(9), link(9000, 90, 95)));
        planner::Cluster three = cluster(3);
        set_links(three, std::vector{device_id(2), device_id(1), device_id(3)}, known);
        CHECK(three.measured_pairs == 2);
        CHECK(three.link(1, 0) == planned(link(1000, 10, 20), true));
        CHECK(three.link(0, 1) == planned(link(1000, 10, 20), false));
        CHECK(three.link(2, 1) == planned(link(3000, 30, 40), true));
        CHECK(three.link(1, 2) == planned(link(3000, 30, 40), false));
        // Nobody measured it: as the others are.
        CHECK(three.link(0, 2) == three.usual);
        CHECK(three.usual.exchange_seconds >= 700e-6);
        CHECK(three.usual.exchange_seconds <= 3000e-6);
        CHECK(three.usual.bytes_per_second >= 20e6);
        CHECK(three.usual.bytes_per_second <= 30e6);
    }

    TEST_CASE("the bytes of the exchange that was timed are not counted twice") {
        // 2 KiB take 204.8 us the slower way, and the other way in the same time.
        const KnownLink known = link(500, 10, 20);
        CHECK(planned(known, true).exchange_seconds == doctest::Approx(295.2e-6));
        CHECK(planned(known, false).exchange_seconds == doctest::Approx(295.2e-6));
        CHECK(planned(known, false).bytes_per_second == 20e6);
        // Where bytes should have taken all of it, something is left.
        CHECK(planned(link(100, 10, 20), true).exchange_seconds == doctest::Approx(25e-6));
    }

    TEST_CASE("without measurements links are what they are taken for") {
        planner::Cluster two = cluster(2);
        set_links(two, std::vector{device_id(1), device_id(2)}, {});
        CHECK(two.links.empty());
        CHECK(two.measured_pairs == 0);
        CHECK(two.link(0, 1) == planner::Link{});
    }

    TEST_CASE("what differs by noise stays as it was") {
        KnownLinks known;
        const auto first = [&] { return known.begin()->second; };
        CHECK(take_down(known, device_id(1), device_id(2), link(100, 10, 20)));
        KnownLink again = link(120, 11, 17);
        again.date = "2026-11-29T17:10:00Z";
        CHECK_FALSE(take_down(known, device_id(1), device_id(2), again));
        CHECK(first().there == link(100, 10, 20).there);
        CHECK(first().back == link(100, 10, 20).back);
        CHECK(first().date == again.date);
        // From the other side it is the same link.
        CHECK_FALSE(take_down(known, device_id(2), device_id(1), link(100, 20, 10)));
        CHECK(take_down(known, device_id(1), device_id(2), link(126, 10, 20)));
        CHECK(first().there == link(126, 10, 20).there);
        CHECK(take_down(known, device_id(1), device_id(2), link(126, 10, 15)));
        CHECK(known.size() == 1);
    }

    TEST_CASE("figures that no link has are told") {
        CHECK(plausible(planner::Link{}));
        for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
            CHECK_FALSE(plausible(planner::Link{bad, 1e8}));
            CHECK_FALSE(plausible(planner::Link{1e-4, bad}));
        }
    }
}

}  // namespace link_book_test
