#include "daemon/requests/log_limit.hpp"

#include <doctest/doctest.h>

namespace log_limit_test {

using namespace shoal;
using namespace std::chrono_literals;

TEST_SUITE("LogLimit") {
    TEST_CASE("a flood becomes a burst, then a line a second that counts the others") {
        LogLimit limit;
        auto now = LogLimit::Time() + 1h;
        std::size_t lines = 0;
        for (int n = 0; n < 1000; ++n) lines += limit.take("bad message", now).empty() ? 0 : 1;
        CHECK(lines == static_cast<std::size_t>(LogLimit::kBurst));
        CHECK(limit.take("bad message", now + 100ms).empty());
        CHECK(limit.take("bad message", now + 1s) == "bad message (and 991 like it before)");
        CHECK(limit.take("bad message", now + 1s).empty());
        CHECK(limit.take("bad message", now + 1h) == "bad message (and 1 like it before)");
        CHECK(limit.take("bad message", now + 1h) == "bad message");
    }
}

}  // namespace log_limit_test
