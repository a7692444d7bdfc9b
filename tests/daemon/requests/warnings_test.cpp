#include "daemon/requests/warnings.hpp"

#include <doctest/doctest.h>

namespace warnings_test {

using namespace shoal;
using mesh::messages::Severity;
using mesh::messages::Warning;

namespace {

Warning disk_full(std::string text = "no room in /var") {
    return {"disk-full", Severity::error, "ab", std::move(text), "make room"};
}

}  // namespace

TEST_SUITE("warnings") {
    TEST_CASE("a warning stays until it is cleared, and one of its name and device replaces it") {
        int changes = 0;
        Warnings warnings([&] { ++changes; });
        warnings.raise(disk_full());
        warnings.raise(disk_full());
        CHECK(changes == 1);
        warnings.raise(disk_full("no room in /srv"));
        REQUIRE(warnings.list().size() == 1);
        CHECK(warnings.list()[0].text == "no room in /srv");
        CHECK(changes == 2);
        warnings.clear("disk-full", "cd");
        CHECK(warnings.list().size() == 1);
        warnings.clear("disk-full", "ab");
        CHECK(warnings.list().empty());
        CHECK(changes == 3);
    }

    TEST_CASE("all that is said under a name can be replaced, and nothing else goes") {
        int changes = 0;
        Warnings warnings([&] { ++changes; });
        Warning other = disk_full();
        other.device = "cd";
        Warning slow = disk_full();
        slow.name = "slow";
        warnings.replace("disk-full", {disk_full(), other});
        warnings.raise(slow);
        CHECK(changes == 3);
        warnings.replace("disk-full", {other});
        CHECK(warnings.list() == std::vector{other, slow});
        CHECK(changes == 4);
        warnings.replace("disk-full", {});
        CHECK(warnings.list() == std::vector{slow});
    }

    TEST_CASE("neither their number nor their texts go beyond what an announcement carries") {
        Warnings warnings([] {});
        for (std::size_t n = 0; n < 2 * mesh::messages::kMaxWarnings; ++n) {
            Warning warning = disk_full(std::string(10'000, 'x'));
            warning.device = std::to_string(n);
            warnings.raise(std::move(warning));
        }
        CHECK(warnings.list().size() == mesh::messages::kMaxWarnings);
        CHECK(warnings.list()[0].text.size() == mesh::messages::kMaxWarningText);
    }

    TEST_CASE("of two devices' words about one thing the graver is kept") {
        std::vector<Warning> list{disk_full()};
        Warning milder = disk_full();
        milder.severity = Severity::notice;
        merge(list, {milder});
        REQUIRE(list.size() == 1);
        CHECK(list[0].severity == Severity::error);
        Warning other = disk_full();
        other.name = "slow";
        merge(list, {other});
        CHECK(list.size() == 2);
    }
}

}  // namespace warnings_test
