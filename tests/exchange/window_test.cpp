#include "mesh/exchange/window.hpp"

#include <doctest/doctest.h>

#include "mesh/exchange/memory_buffer.hpp"

namespace shoal::mesh::exchange::window_test {

TEST_SUITE_BEGIN("window");

TEST_CASE("a window keeps frames by their collective, in any order, and shares their bytes") {
    Window window;
    const Frame frame = std::make_shared<MemoryBuffer>(10);
    for (const std::uint64_t op : {7, 3, 5}) REQUIRE(window.keep(op, frame, Time()));
    CHECK(frame.use_count() == 4);
    REQUIRE(window.find(5) != nullptr);
    CHECK(window.find(5)->frame == frame);
    CHECK(window.find(4) == nullptr);
    CHECK(window.after(0)->op == 3);
    CHECK(window.after(3)->op == 5);
    CHECK(window.after(7) == nullptr);
    const Frame other = std::make_shared<MemoryBuffer>(10);
    window.replace(5, other);
    CHECK(window.find(5)->frame == other);
    window.release(7);
    CHECK(window.find(5) == nullptr);
    CHECK(window.find(7) != nullptr);
    CHECK(frame.use_count() == 2);
}

TEST_CASE("a window is full with kDepth frames and not before") {
    Window window;
    for (std::uint64_t op = 1; op <= kDepth; ++op) {
        CHECK(!window.full());
        REQUIRE(window.keep(op, std::make_shared<MemoryBuffer>(0), Time()));
    }
    CHECK(window.full());
    CHECK(!window.keep(kDepth + 1, std::make_shared<MemoryBuffer>(0), Time()));
    window.release(2);
    CHECK(window.keep(kDepth + 1, std::make_shared<MemoryBuffer>(0), Time()));
}

TEST_SUITE_END();

}  // namespace shoal::mesh::exchange::window_test
