#include "daemon/strain.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/model/temporary_folder.hpp"

namespace strain_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;

namespace {

/// A watch that looks every ten seconds, of a clock of its own.
struct Watch : StrainWatch {
    void after(std::chrono::seconds time, const Strain& strain, bool computes = false) {
        for (; time > 0s; time -= kInterval) {
            now += kInterval;
            look(strain, computes, now);
        }
    }
    bool warns(std::string_view name) const {
        for (const auto& warning : warnings()) {
            if (warning.name == name) return true;
        }
        return false;
    }
    Time now{};
};

Strain waiting(double percent) {
    Strain strain;
    strain.memory = percent;
    return strain;
}

Strain flags(std::uint32_t value, std::optional<double> clock = {}) {
    Strain strain;
    strain.firmware = value;
    strain.clock = clock;
    return strain;
}

struct FakeBoard {
    void put(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((root.folder / name).parent_path());
        std::ofstream(root.folder / name) << text << '\n';
    }
    Strain read() const { return read_strain(root.folder); }
    TemporaryFolder root;
};

}  // namespace

TEST_SUITE("strain") {
    TEST_CASE_FIXTURE(FakeBoard, "a system that tells nothing is not strained") {
        const Strain strain = read();
        CHECK_FALSE(strain.memory);
        CHECK_FALSE(strain.cpu);
        CHECK_FALSE(strain.firmware);
        CHECK_FALSE(strain.cooling);
        CHECK_FALSE(strain.clock);
        Watch watch;
        watch.after(100s, strain, true);
        CHECK(watch.warnings().empty());
    }

    TEST_CASE_FIXTURE(FakeBoard, "what a board tells is read where boards tell it") {
        put("proc/pressure/memory",
            "some avg10=12.50 avg60=1.00 avg300=0.00 total=7\n"
            "full avg10=99.00 avg60=99.00 avg300=0.00 total=7");
        put("proc/pressure/cpu", "some avg10=99.00 avg60=31.00 avg300=0.00 total=7");
        put("sys/devices/platform/soc/soc:firmware/get_throttled", "50005");
        put("sys/class/thermal/cooling_device0/type", "pwm-fan");
        put("sys/class/thermal/cooling_device0/cur_state", "3");
        put("sys/class/thermal/cooling_device1/type", "thermal-cpufreq-0");
        put("sys/class/thermal/cooling_device1/cur_state", "0");
        for (const auto& [policy, khz] : {std::pair("0", "1500000"), std::pair("4", "600000")}) {
            const std::string folder =
                "sys/devices/system/cpu/cpufreq/policy" + std::string(policy);
            put(folder + "/scaling_cur_freq", khz);
            put(folder + "/cpuinfo_max_freq", "2400000");
        }
        CHECK(read().memory == 12.5);
        CHECK(read().cpu == 31);
        CHECK(read().firmware == 0x50005u);
        CHECK(read().clock == 0.25);
        CHECK_FALSE(read().cooling);
        put("sys/class/thermal/cooling_device1/cur_state", "2");
        CHECK(read().cooling);
        put("proc/pressure/memory", "full avg10=99.00");
        CHECK_FALSE(read().memory);
        put("proc/pressure/memory", "some avg10=nan avg60=1");
        CHECK_FALSE(read().memory);
    }

    TEST_CASE("waiting for memory warns, and plans get less with each look, to a bound") {
        Watch watch;
        watch.after(60s, waiting(9));
        CHECK(watch.memory_part() == 1);
        CHECK(watch.warnings().empty());
        watch.after(10s, waiting(30));
        CHECK(watch.memory_part() == 1 - 1.0 / 16);
        REQUIRE(watch.warns("memory-pressure"));
        CHECK(watch.warnings()[0].severity == mesh::messages::Severity::warning);
        CHECK_FALSE(watch.warnings()[0].remedy.empty());
        watch.after(10s, waiting(30));
        CHECK(watch.memory_part() == 1 - 2.0 / 16);
        watch.after(300s, waiting(30));
        CHECK(watch.memory_part() == Watch::kLeastMemory);
    }

    TEST_CASE("memory is given back after calm minutes, and a little waiting is no calm") {
        Watch watch;
        watch.after(20s, waiting(30));
        const double less = watch.memory_part();
        watch.after(30min, waiting(2));
        CHECK(watch.memory_part() == less);
        watch.after(9min, waiting(0));
        CHECK(watch.warns("memory-pressure"));
        CHECK(watch.memory_part() == less);
        watch.after(1min, waiting(0));
        CHECK_FALSE(watch.warns("memory-pressure"));
        CHECK(watch.memory_part() == 1);
    }

    TEST_CASE("too little voltage warns as long as it was seen lately; the past does not count") {
        Watch watch;
        watch.after(60s, flags(0x50000));
        CHECK(watch.warnings().empty());
        watch.after(10s, flags(0x50001));
        CHECK(watch.warns("under-voltage"));
        CHECK_FALSE(watch.warns("throttled"));
        watch.after(110s, flags(0x50000));
        CHECK(watch.warns("under-voltage"));
        watch.after(10s, flags(0x50000));
        CHECK_FALSE(watch.warns("under-voltage"));
    }

    TEST_CASE("a clock that is held down while the device computes makes its speed less") {
        for (const std::uint32_t bit : {2u, 4u, 8u}) {
            Watch watch;
            watch.after(10s, flags(bit, 0.25), false);  // an idle clock is low anyway
            CHECK(watch.warns("throttled"));
            CHECK(watch.speed_part() == 1);
            watch.after(10s, flags(bit, 0.64), true);
            CHECK(watch.speed_part() == 0.625);
            watch.after(10s, flags(bit, 0.01), true);
            CHECK(watch.speed_part() == Watch::kLeastSpeed);
            watch.after(110s, flags(0, 1), true);
            CHECK(watch.speed_part() == Watch::kLeastSpeed);
            watch.after(10s, flags(0, 1), true);
            CHECK(watch.speed_part() == 1);
            CHECK(watch.warnings().empty());
        }
        Watch watch;
        Strain hot;
        hot.cooling = true;
        hot.clock = 0.5;
        watch.after(10s, hot, true);
        CHECK(watch.speed_part() == 0.5);
    }

    TEST_CASE("other load is what waits for CPUs while nothing computes here") {
        Watch watch;
        Strain busy;
        busy.cpu = 60;
        watch.after(200s, busy, true);
        CHECK(watch.warnings().empty());
        // The minute of which the system tells still has our steps.
        watch.after(60s, busy, false);
        CHECK(watch.warnings().empty());
        watch.after(10s, busy, false);
        CHECK(watch.warns("other-load"));
        busy.cpu = 20;
        watch.after(120s, busy, false);
        CHECK_FALSE(watch.warns("other-load"));
    }
}

}  // namespace strain_test
