#include "tests/daemon/virtual_loop.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace virtual_loop_test {

using namespace shoal;
using namespace shoal::tests;
using std::chrono::milliseconds;

TEST_SUITE("VirtualLoop") {
    TEST_CASE("time stands still but for what is due, in order of time and of asking") {
        VirtualTime time;
        VirtualLoop loop(time);
        std::string order;
        const Timer late = loop.after(milliseconds(20), [&] { order += 'c'; });
        const Timer early = loop.after(milliseconds(10), [&] { order += 'b'; });
        Timer cancelled = loop.after(milliseconds(5), [&] { order += 'x'; });
        loop.post([&] {
            order += 'a';
            loop.post([&] { order += 'A'; });
        });
        cancelled.reset();
        const auto begun = loop.now();
        time.settle();
        CHECK(order == "aA");
        CHECK(loop.now() == begun);
        CHECK(time.next() == begun + milliseconds(10));
        time.pass(milliseconds(15));
        CHECK(order == "aAb");
        CHECK(loop.now() == begun + milliseconds(15));
        CHECK(time.step());
        CHECK(order == "aAbc");
        CHECK_FALSE(time.step());
    }

    TEST_CASE("a loop that goes forgets what it was to do, the other's goes on") {
        VirtualTime time;
        std::string order;
        VirtualLoop stays(time);
        {
            VirtualLoop goes(time);
            goes.post([&] { order += 'x'; });
            stays.post([&] { order += 'a'; });
        }
        time.settle();
        CHECK(order == "a");
    }

    TEST_CASE("long work comes one after another, each after its time, stopped or not") {
        VirtualTime time;
        VirtualBackground work(time, milliseconds(10));
        std::string order;
        work.post([&] { order += 'a'; });
        work.post(Background::Task([&](const std::stop_token& stop) {
                order += stop.stop_requested() ? 's' : 'b';
            }))
            .request_stop();
        time.pass(milliseconds(10));
        CHECK(order == "a");
        time.pass(milliseconds(10));
        CHECK(order == "as");
        CHECK_FALSE(time.next());
    }
}

}  // namespace virtual_loop_test
