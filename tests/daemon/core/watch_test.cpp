#include <doctest/doctest.h>

#include "tests/daemon/small_daemon.hpp"
#include "tests/daemon/support.hpp"

namespace watch_test {

using namespace shoal;
using namespace shoal::tests;

TEST_SUITE("watch") {
    TEST_CASE("a device of another version than the root is named by the root alone") {
        SmallDaemon node;
        mesh::Member other = other_device(2);
        node.control.call(
            [&] { other.description.version = node.mesh.all[0].description.version; });
        mesh::Member newer = other_device(3);
        newer.description.version = "99.1";
        node.join(other);
        node.join(newer);
        node.elect(node.self);
        const auto told = [&](const mesh::DeviceId& id) {
            return node.warning("other-version", id);
        };
        REQUIRE(eventually([&] { return !told(newer.id).empty(); }));
        CHECK(told(newer.id).find("99.1") != std::string::npos);
        CHECK(told(other.id).empty());
        CHECK(told(node.self).empty());
        node.elect(other.id);
        CHECK(eventually([&] { return told(newer.id).empty(); }));
    }
}

}  // namespace watch_test
