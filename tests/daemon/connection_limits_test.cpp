#include "daemon/connection_limits.hpp"

#include <doctest/doctest.h>

namespace connection_limits_test {

using namespace shoal;
using namespace std::chrono_literals;

TEST_SUITE("connection limits") {
    TEST_CASE("connections leave more than half of the descriptors to the daemon's own work") {
        for (const std::size_t descriptors : {512u, 1024u, 4096u, 65536u}) {
            CAPTURE(descriptors);
            const auto mesh = mesh_limits(descriptors, 500ms);
            const auto clients = client_limits(descriptors);
            const auto strangers = stranger_limits(descriptors);
            CHECK(2 * mesh.total + clients.total + strangers.total < descriptors / 2);
            CHECK(2 <= strangers.per_source);
            CHECK(strangers.per_source < strangers.total);
            CHECK(mesh.per_source < mesh.unproven);
            CHECK(mesh.unproven < mesh.total);
            CHECK(clients.per_source < clients.total);
            CHECK(mesh.proof > 500ms);
        }
    }

    TEST_CASE("with the usual limits sixteen daemons of one address, and 256 devices, have room") {
        const auto mesh = mesh_limits(kMostDescriptors, 500ms);
        CHECK(mesh.per_source >= 15 * 3);
        CHECK(mesh.total >= 256 * 3);
    }

    TEST_CASE("the limit of descriptors only ever rises") {
        const std::size_t first = raise_descriptor_limit();
        CHECK(first >= 256);
        CHECK(raise_descriptor_limit() == first);
    }
}

}  // namespace connection_limits_test
