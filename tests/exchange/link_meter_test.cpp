#include "mesh/exchange/link_meter.hpp"

#include <doctest/doctest.h>

namespace shoal::mesh::testing::link_meter_test {

using namespace std::chrono_literals;
using exchange::LinkMeter;

TEST_SUITE_BEGIN("link_meter");

TEST_CASE("percentiles are right to a fifth, from microseconds to hours") {
    for (const std::chrono::nanoseconds time : {3us, 17us, 999us, 12'345us, 2'000'000us}) {
        LinkMeter meter;
        for (int i = 0; i < 98; ++i) meter.waited(time);
        meter.waited(time * 1000);
        meter.waited(time * 1000);
        const LinkReport report = meter.read();
        const auto us = static_cast<double>(time.count()) / 1000;
        CAPTURE(us);
        CHECK(report.collectives == 100);
        CHECK(report.wait_p50_us == doctest::Approx(us).epsilon(0.2));
        CHECK(report.wait_p99_us == doctest::Approx(1000 * us).epsilon(0.2));
    }
    LinkMeter meter;
    CHECK(meter.read().wait_p99_us == 0);
    meter.waited(std::chrono::hours(10'000));  // counted, though beyond the scale
    meter.waited(-1s);
    CHECK(meter.read().collectives == 2);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::link_meter_test
