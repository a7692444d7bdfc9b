#include "daemon/engine/exchange_collective.hpp"

#include <doctest/doctest.h>

#include <span>
#include <thread>
#include <vector>

#include "mesh/exchange/memory_exchange.hpp"
#include "tests/daemon/support.hpp"

namespace exchange_collective_test {

using namespace shoal;
using namespace shoal::tests;

TEST_SUITE("ExchangeCollective") {
    TEST_CASE("a member is in a step from the order on until it waits for the next") {
        auto exchanges = mesh::make_memory_exchange(2);
        EffortCounter root_effort, effort;
        ExchangeCollective root(*exchanges[0], root_effort);
        std::span<const std::byte> received;
        {
            ExchangeCollective member(*exchanges[1], effort);
            std::span<const std::byte> order;
            CHECK_FALSE(effort.in_step);
            const auto step = [&] {
                std::thread waits([&] { CHECK(member.broadcast({}, order) == exec::Status::ok); });
                CHECK(eventually([&] { return !effort.in_step; }));
                CHECK(root.broadcast({}, received) == exec::Status::ok);
                waits.join();
                CHECK(effort.in_step);
            };
            step();
            // However long it computes, with the root waiting for it or not.
            std::thread waits([&] {
                std::vector<std::span<const std::byte>> all;
                CHECK(root.all_gather({}, all) == exec::Status::ok);
            });
            std::vector<std::span<const std::byte>> all;
            CHECK(member.all_gather({}, all) == exec::Status::ok);
            waits.join();
            CHECK(effort.in_step);
            step();
        }
        // The plan is over.
        CHECK_FALSE(effort.in_step);
        // The root says itself what it does.
        CHECK_FALSE(root_effort.in_step);
        for (const EffortCounter* counted : {&root_effort, &effort}) {
            CHECK(counted->all_steps == 2);
            CHECK(counted->collectives == 1);
            CHECK(counted->collective_nanoseconds > 0);
        }
    }
}

}  // namespace exchange_collective_test
