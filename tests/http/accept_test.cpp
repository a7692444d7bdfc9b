#include "daemon/http/accept.hpp"

#include <doctest/doctest.h>

#include <string_view>

namespace shoal::http::accept_test {

TEST_SUITE("accept") {
    TEST_CASE("a type is named among others, in any case and with any weight") {
        for (const std::string_view accept :
             {"text/html", "TEXT/HTML", "text/html;q=0.9", "application/json, text/html",
              " text/html ; level=1 , */*",
              "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ",,text/html,"}) {
            CHECK_MESSAGE(names_type(accept, "text/html"), accept);
        }
    }

    TEST_CASE("what does not name it is not taken for it") {
        for (const std::string_view accept :
             {"", " ", ",", ";", "*/*", "text/*", "text/htm", "text/html5", "a text/html",
              "application/json;x=text/html", "text / html", "text/html text/html"}) {
            CHECK_FALSE_MESSAGE(names_type(accept, "text/html"), accept);
        }
    }
}

}  // namespace shoal::http::accept_test
