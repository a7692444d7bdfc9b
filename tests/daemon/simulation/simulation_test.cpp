// Whole daemons, thousands of times. SHOAL_SEEDS says how many seeds; SHOAL_SEED (or --seed=N) runs
// that one and says what happens, or is the first of SHOAL_SEEDS.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/daemon/simulation/scenario.hpp"
#include "tests/instrumented.hpp"

using namespace shoal::tests::simulation;

namespace {

bool verbose = false;
std::uint64_t first_seed = 1;
/// One takes some tens of milliseconds in a release build, ten times as long with sanitizers.
std::uint64_t seeds = shoal::tests::by_speed(2000, 50);

void read(const char* text) {
    first_seed = std::strtoull(text, nullptr, 10);
    verbose = std::getenv("SHOAL_SEEDS") == nullptr;
    if (verbose) seeds = 1;
}

}  // namespace

TEST_SUITE("simulation") {
    TEST_CASE("every request ends once, with the text that it has undisturbed") {
        Coverage coverage;
        std::size_t failures = 0;
        for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
            const auto wrong = Scenario(seed, coverage, verbose).run();
            for (const std::string& what : wrong) {
                INFO("replay with simulation_test --seed=", seed);
                FAIL_CHECK(what);
            }
            failures += wrong.empty() ? 0 : 1;
            if (failures == 10) break;  // enough to look at
        }
        for (const auto& [what, count] : coverage) {
            std::printf("%9llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
        }
    }
}

int main(int argc, char** argv) {
    if (const char* count = std::getenv("SHOAL_SEEDS")) seeds = std::strtoull(count, nullptr, 10);
    if (const char* seed = std::getenv("SHOAL_SEED")) read(seed);
    for (int i = 1; i < argc; ++i) {
        if (std::strncmp(argv[i], "--seed=", 7) == 0) read(argv[i] + 7);
    }
    spdlog::set_level(verbose ? spdlog::level::debug : spdlog::level::off);
    spdlog::set_pattern("                %v");
    doctest::Context context(argc, argv);
    return context.run();
}
