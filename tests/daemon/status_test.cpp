#include "daemon/status.hpp"

#include <doctest/doctest.h>

#include "tests/daemon/small_node.hpp"

using namespace shoal;
using namespace shoal::tests;

TEST_SUITE("status") {
    TEST_CASE("devices come in rank order, those without a part last") {
        mesh::wire::PlanOffer offer;
        offer.devices.resize(2);
        offer.devices[0].id = device_id(3).bytes;
        offer.devices[0].q_end = 4;
        offer.devices[1].id = device_id(1).bytes;
        offer.model_name = "a model";
        StatusParts parts;
        parts.self = device_id(1);
        parts.root = device_id(3);
        for (std::uint8_t n = 1; n <= 3; ++n) parts.members.push_back(SmallNode::other(n));
        parts.offer = &offer;
        std::map<mesh::DeviceId, PlanDeviceState> states;
        states[device_id(3)] = {true, 10, 10, "loading", {7, 8, 9, 10}};
        states[device_id(1)] = {false, 1, 4, "loading", {}};
        parts.states = &states;
        const auto reply = cluster_status(parts);
        REQUIRE(reply.devices.size() == 3);
        CHECK(reply.devices[0].id == device_id(3).hex());
        CHECK(reply.devices[0].rank == 0);
        CHECK(reply.devices[0].root);
        CHECK(reply.devices[0].q_heads.end == 4);
        CHECK(reply.devices[0].state == "ready");
        CHECK(reply.devices[0].weight_bytes == 7);
        CHECK(reply.devices[1].self);
        CHECK(reply.devices[1].state == "loading 25 %");
        CHECK(reply.devices[2].rank == -1);
        CHECK(reply.devices[2].state == "spare");
        CHECK(reply.model == "a model");
    }

    TEST_CASE("a device whose announcement is damaged holds no models") {
        mesh::Member member = SmallNode::other(2);
        CHECK(announcement_of(member).models.empty());
        member.description.models.assign(100, std::byte{0xC1});
        CHECK(announcement_of(member).models.empty());
        member.description.models = mesh::wire::encode(
            mesh::wire::PlanFrame{0, mesh::wire::PlanEnd{{}, "no announcement"}});
        CHECK(announcement_of(member).models.empty());
        CHECK(cluster_models({member}, nullptr).models.empty());
    }
}
