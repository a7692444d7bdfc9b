#include "daemon/stored_measurement.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "daemon/plan/device_profile.hpp"
#include "tests/daemon/virtual_loop.hpp"
#include "tests/model/temporary_folder.hpp"

namespace stored_measurement_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::ProfileOrigin;

namespace {

// A daemon's start, again and again, in one state folder.
struct Fixture {
    TemporaryFolder state;
    const std::filesystem::path file = state.folder / StoredMeasurement::kFile;
    const kernels::Table& kernels = kernels::reference();
    Placement placement{1, {0}, {}};
    VirtualTime time;
    VirtualLoop loop{time};
    VirtualBackground background{time};

    StoredMeasurement start(std::uint64_t given = 0) {
        return {loop, background, kernels, placement, state.folder, given};
    }
    static SelfMeasurement::Profile profile() {
        return message_of(planner::DeviceProfile::guess(7e9));
    }
    // What a measurement would have left.
    void store(const std::function<void(measure::Conditions&)>& change = [](auto&) {}) {
        measure::Record record;
        record.profile = *profile_of(profile());
        record.conditions = conditions_here(kernels, placement);
        record.date = "2026-11-29T16:40:00Z";
        change(record.conditions);
        write(measure::to_text(record));
    }
    void write(const std::string& text) const { std::ofstream(file, std::ios::binary) << text; }
    std::string text() const {
        std::stringstream out;
        out << std::ifstream(file).rdbuf();
        return out.str();
    }
};

}  // namespace

TEST_SUITE("StoredMeasurement") {
    TEST_CASE_FIXTURE(Fixture,
                      "a device that is held down announces less, and reports what it was") {
        store();
        StoredMeasurement device = start();
        const auto whole = device.report().profile;
        CHECK(device.announced() == whole);
        device.slow_down_to(0.5);
        const auto half = device.announced();
        CHECK(half.q8.one_row == whole.q8.one_row / 2);
        CHECK(half.k.in_file == whole.k.in_file / 2);
        CHECK(half.attend_many == whole.attend_many / 2);
        CHECK(half.elements == whole.elements / 2);
        CHECK(half.layer_seconds == whole.layer_seconds * 2);
        CHECK(device.report().profile == whole);
        device.slow_down_to(1);
        CHECK(device.announced() == whole);
    }

    TEST_CASE_FIXTURE(Fixture, "at the first start a device guesses") {
        StoredMeasurement device = start();
        CHECK(device.report().origin == ProfileOrigin::guessed);
        CHECK(device.report().date == "");
        CHECK(device.speed() > 1e6);
        CHECK(profile_of(device.report().profile) == planner::DeviceProfile::guess(device.speed()));
        CHECK_FALSE(std::filesystem::exists(file));
    }

    TEST_CASE_FIXTURE(Fixture, "what was adopted is there at the next start") {
        {
            StoredMeasurement device = start();
            bool stored = false;
            device.adopt(profile(), [&] { stored = true; });
            time.settle();
            CHECK(stored);
            CHECK(device.report().origin == ProfileOrigin::measured);
            CHECK(device.report().not_stored == "");
        }
        const StoredMeasurement device = start();
        const auto report = device.report();
        CHECK(report.origin == ProfileOrigin::measured);
        CHECK(report.profile == profile());
        CHECK(report.isa == "ref");
        CHECK(report.threads == 1);
        CHECK(report.date.size() == std::string("2026-11-29T16:40:00Z").size());
        // By which roots are preferred: to the power of the square root of two beside 7e9.
        CHECK(device.speed() == rounded_speed(7e9));
        struct stat info {};
        REQUIRE(::stat(file.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0600);
    }

    TEST_CASE_FIXTURE(Fixture, "other conditions mean measuring anew") {
        store();
        CHECK(start().report().origin == ProfileOrigin::measured);
        store([](auto& c) { c.threads = 2; });
        CHECK(start().report().origin == ProfileOrigin::guessed);
        store([](auto& c) { c.version = "0.0.9"; });
        CHECK(start().report().origin == ProfileOrigin::guessed);
        store();
        placement.cpus = {1};
        CHECK(start().report().origin == ProfileOrigin::guessed);
    }

    TEST_CASE_FIXTURE(Fixture, "a file of no use means measuring anew, and is left until then") {
        store();
        const std::string whole = text();
        const std::string bad[] = {"", "{", whole.substr(0, whole.size() / 2), "\xff\xff",
                                   std::string(100'000, ' ')};
        for (const std::string& text : bad) {
            write(text);
            StoredMeasurement device = start();
            CHECK(device.report().origin == ProfileOrigin::guessed);
            device.adopt(profile(), [] {});
            time.settle();
            CHECK(start().report().origin == ProfileOrigin::measured);
        }
        std::filesystem::remove(file);
        std::filesystem::create_directory(file);
        CHECK(start().report().origin == ProfileOrigin::guessed);
    }

    TEST_CASE_FIXTURE(Fixture, "what cannot be stored is used all the same, and told") {
        // A folder takes the place of the file.
        std::filesystem::create_directories(file / "full");
        StoredMeasurement device = start();
        bool stored = false;
        device.adopt(profile(), [&] { stored = true; });
        time.settle();
        CHECK(stored);
        CHECK(device.report().profile == profile());
        CHECK(device.report().not_stored.find(file.string()) != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a speed that is given is all that counts") {
        store();
        const StoredMeasurement device = start(3'000'000'000);
        CHECK(device.report().origin == ProfileOrigin::given);
        CHECK(profile_of(device.report().profile) == planner::DeviceProfile::guess(3e9));
        CHECK(device.speed() == 3e9);
    }

    TEST_CASE_FIXTURE(Fixture, "a measurement that is stopped gives nothing") {
        StoredMeasurement device = start();
        bool over = false;
        auto stop = device.measure([](unsigned, unsigned) { CHECK(false); },
                                   [&](const auto& profile, const std::string& error) {
                                       over = true;
                                       CHECK_FALSE(profile);
                                       CHECK(error == "");
                                   });
        stop.request_stop();
        time.settle();
        CHECK(over);
    }
}

}  // namespace stored_measurement_test
