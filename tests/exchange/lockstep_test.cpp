// Lock-step in virtual time: thousands of plans on networks that do what networks do.
#include "mesh/exchange/lockstep.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <iomanip>
#include <sstream>

#include "tests/exchange/simulation.hpp"
#include "tests/instrumented.hpp"

namespace shoal::mesh::testing::lockstep_test {

TEST_SUITE_BEGIN("lockstep");

namespace {

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

// SHOAL_SEED=N runs the plan of that seed alone, SHOAL_SEEDS=N as many from there or from 1 on.
TEST_CASE(
    "on any network every collective ends with the right bytes everywhere, or the plan fails") {
    const bool one = std::getenv("SHOAL_SEED") != nullptr;
    const std::uint64_t first = number_of("SHOAL_SEED", 1);
    const std::uint64_t count = number_of("SHOAL_SEEDS", one ? 1 : tests::by_speed(3000, 100));
    Coverage all;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        try {
            all.add(simulate(seed));
        } catch (const std::runtime_error& error) {
            FAIL(std::string(error.what()));
        }
    }
    std::ostringstream table;
    for (const auto& row : all.table()) {
        table << "\n" << std::setw(12) << row.second << "  " << row.first;
        if (count >= 1000) CHECK_MESSAGE(row.second > 0, row.first);
    }
    MESSAGE(table.str());
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::lockstep_test
