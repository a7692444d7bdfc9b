#include "daemon/http/kept_texts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace shoal::http::kept_texts_test {

using namespace std::chrono_literals;

TEST_SUITE("kept_texts") {
    TEST_CASE("what was put is there until it is erased") {
        KeptTexts kept(100, 1h);
        CHECK_FALSE(kept.get("a"));
        kept.put("a", "text");
        CHECK(kept.get("a") == "text");
        CHECK(kept.erase("a"));
        CHECK_FALSE(kept.erase("a"));
        CHECK_FALSE(kept.get("a"));
    }

    TEST_CASE("what was asked for least lately makes room") {
        KeptTexts kept(30, 1h);
        kept.put("a", std::string(9, 'x'));
        kept.put("b", std::string(9, 'x'));
        kept.put("c", std::string(9, 'x'));
        CHECK(kept.get("a"));
        kept.put("d", std::string(9, 'x'));
        CHECK_FALSE(kept.get("b"));
        CHECK(kept.get("a"));
        // One that fills all, and one that is too long for any room.
        kept.put("e", std::string(29, 'x'));
        CHECK(kept.get("e"));
        CHECK_FALSE(kept.get("a"));
        kept.put("f", std::string(30, 'x'));
        CHECK_FALSE(kept.get("f"));
        CHECK(kept.get("e"));
    }

    TEST_CASE("nothing is kept for longer than its lifetime, asked for or not") {
        KeptTexts kept(100, 1h);
        const auto begin = KeptTexts::Clock::now();
        kept.put("a", "text", begin);
        CHECK(kept.get("a", begin + 1h));
        CHECK_FALSE(kept.get("a", begin + 1h + 1s));
    }
}

}  // namespace shoal::http::kept_texts_test
