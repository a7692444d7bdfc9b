#include "config/nearest.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

namespace nearest_test {

using namespace shoal::config;

TEST_SUITE_BEGIN("config/nearest");

TEST_CASE("edits are what turns one text into the other") {
    CHECK(edits_between("", "") == 0);
    CHECK(edits_between("port", "") == 4);
    CHECK(edits_between("prot", "port") == 2);
    CHECK(edits_between("status", "state") == 2);
}

TEST_CASE("a name is near with a third of its letters wrong, or when it is only begun") {
    const std::array<std::string_view, 4> known = {"run", "status", "models", "detokenize"};
    CHECK(nearest("rnu", known).empty());
    CHECK(nearest("rum", known) == "run");
    CHECK(nearest("statsu", known) == "status");
    CHECK(nearest("stat", known) == "status");
    CHECK(nearest("model", known) == "models");
    CHECK(nearest("detoknise", known) == "detokenize");
    CHECK(nearest("chat", known).empty());
    CHECK(nearest("", known).empty());
    CHECK(nearest(std::string(1000, 'x'), known).empty());
}

TEST_SUITE_END();

}  // namespace nearest_test
