#include "mesh/exchange/memory_exchange.hpp"

#include <doctest/doctest.h>

#include "mesh/exchange/frame.hpp"
#include "tests/exchange/fixtures.hpp"

namespace shoal::mesh::testing::memory_exchange_test {

TEST_SUITE_BEGIN("memory_exchange");

TEST_CASE("abort() of the group ends blocked members") {
    MemoryGroup group(2);
    const auto first = group.member(0);
    const auto second = group.member(1);
    std::jthread aborter([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        group.abort();
    });
    Views theirs;
    CHECK(first->all_gather({}, theirs) == ExchangeStatus::aborted);
    CHECK(second->all_gather({}, theirs) == ExchangeStatus::aborted);
}

TEST_CASE("a group has at least one rank, and each is taken once") {
    CHECK_THROWS_AS(MemoryGroup(0), std::invalid_argument);
    CHECK_THROWS_AS(MemoryGroup(exchange::kMaxRanks + 1), std::invalid_argument);
    MemoryGroup group(2);
    const auto first = group.member(0);
    CHECK_THROWS_AS(group.member(0), std::invalid_argument);
    CHECK_THROWS_AS(group.member(2), std::invalid_argument);
}

TEST_CASE("views are misaligned, as those of the network are") {
    const auto alone = make_memory_exchange(1);
    Views theirs;
    REQUIRE(alone[0]->all_gather(pattern(0, 1, 64), theirs) == ExchangeStatus::ok);
    CHECK(reinterpret_cast<std::uintptr_t>(theirs[0].data()) % 2 == 1);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::memory_exchange_test
