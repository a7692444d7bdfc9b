// What a measurement says, on every instruction set of this CPU. How fast it is says nothing here.
#include "daemon/measure/measure.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace shoal::tests {

using planner::DeviceProfile;

namespace {

// As little as can be: one matrix of a mebibyte, two passes of each part.
constexpr measure::Limits kSmall{std::uint64_t{1} << 20, std::chrono::milliseconds(0)};

const auto kSilent = [](unsigned, unsigned) {};

}  // namespace

TEST_CASE("every instruction set here gives a profile that plans can use") {
    for (const kernels::Isa isa : kernels::kIsas) {
        const kernels::Table* table = kernels::table_for(isa);
        if (table == nullptr) continue;
        for (const std::uint32_t threads : {1U, 2U}) {
            CAPTURE(kernels::name(isa));
            CAPTURE(threads);
            exec::ThreadPool pool(threads);
            const auto profile = measure::measure(*table, pool, kSmall, {}, kSilent);
            REQUIRE(profile);
            CHECK(planner::plausible(*profile));
            for (const planner::Family family : planner::kFamilies) {
                const planner::Rates& r = profile->of(family);
                // Weights that are never packed lie as the file has them.
                const bool packed = table->pack_for(planner::type_of(family)) != nullptr;
                if (!packed) CHECK(r.in_file == r.many_rows);
            }
        }
    }
}

TEST_CASE("progress begins with the first step and ends with the last") {
    exec::ThreadPool pool(1);
    std::vector<std::pair<unsigned, unsigned>> told;
    REQUIRE(measure::measure(kernels::reference(), pool, kSmall, {},
                             [&](unsigned done, unsigned total) {
                                 told.push_back({done, total});
                             }));
    REQUIRE(told.size() > 2);
    for (std::size_t i = 0; i < told.size(); ++i) {
        CHECK(told[i] == std::pair(static_cast<unsigned>(i), told.front().second));
    }
    CHECK(told.back().first == told.back().second);
}

TEST_CASE("a measurement that is stopped ends with the step it is at, and says nothing") {
    exec::ThreadPool pool(1);
    for (const unsigned at : {0U, 3U, 8U}) {
        std::stop_source stop;
        unsigned last = 0;
        const auto profile = measure::measure(kernels::reference(), pool, kSmall, stop.get_token(),
                                              [&](unsigned done, unsigned) {
                                                  last = done;
                                                  if (done == at) stop.request_stop();
                                              });
        CHECK_FALSE(profile);
        CHECK(last == at);
    }
}

TEST_CASE("a matrix that cannot be had is std::bad_alloc") {
    exec::ThreadPool pool(1);
    const measure::Limits huge{std::uint64_t{1} << 60, std::chrono::milliseconds(0)};
    CHECK_THROWS_AS(
        static_cast<void>(measure::measure(kernels::reference(), pool, huge, {}, kSilent)),
        std::bad_alloc);
}

}  // namespace shoal::tests
