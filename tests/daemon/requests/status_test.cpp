#include "daemon/requests/status.hpp"

#include <doctest/doctest.h>

#include "tests/daemon/support.hpp"

namespace status_test {

using namespace shoal;
using namespace shoal::tests;

TEST_SUITE("status") {
    TEST_CASE("devices come in rank order, those without a part last") {
        mesh::messages::PlanOffer offer;
        offer.devices.resize(2);
        offer.devices[0].id = device_id(3).bytes;
        offer.devices[0].slice.q_heads.end = 4;
        offer.devices[1].id = device_id(1).bytes;
        offer.model_name = "a model";
        StatusParts parts;
        parts.self = device_id(1);
        parts.root = device_id(3);
        for (std::uint8_t n = 1; n <= 3; ++n) parts.members.push_back(other_device(n));
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
        CHECK(reply.devices[0].slice.q_heads.end == 4);
        CHECK(reply.devices[0].state == "ready");
        CHECK(reply.devices[0].weight_bytes == 7);
        CHECK(reply.devices[1].self);
        CHECK(reply.devices[1].state == "loading 25 %");
        CHECK(reply.devices[2].rank == -1);
        CHECK(reply.devices[2].state == "spare");
        CHECK(reply.model == "a model");
    }

    TEST_CASE("a device that was lost is shown for a while, with the time") {
        StatusParts parts;
        parts.self = device_id(1);
        parts.members = {other_device(1)};
        parts.lost = {{other_device(2), parts.now - std::chrono::seconds(17)},
                      {other_device(3), parts.now - std::chrono::minutes(5)}};
        const auto reply = cluster_status(parts);
        REQUIRE(reply.devices.size() == 3);
        CHECK_FALSE(reply.devices[1].alive);
        CHECK(reply.devices[1].name == "device 2");
        CHECK(reply.devices[1].state == "lost 17 s ago");
        CHECK(reply.devices[2].state == "lost 5 min ago");
    }

    TEST_CASE("two devices are apart unless both say that they see each other") {
        const auto seeing = [](std::uint8_t self, const std::vector<std::uint8_t>& others) {
            mesh::Member member = other_device(self);
            mesh::messages::Announcement announcement;
            for (const std::uint8_t n : others) announcement.sees.push_back(device_id(n).bytes);
            member.description.models = mesh::messages::encode({0, std::move(announcement)});
            return member;
        };
        const mesh::Member root = other_device(1);
        CHECK(apart_pairs({root, seeing(2, {1, 3}), seeing(3, {1, 2})}).empty());
        const std::vector<Pair> pair{{device_id(2), device_id(3)}};
        CHECK(apart_pairs({root, seeing(2, {1, 3}), seeing(3, {1})}) == pair);
        CHECK(apart_pairs({root, seeing(2, {1}), seeing(3, {1, 2})}) == pair);
        CHECK(apart_pairs({root, other_device(2)}).empty());
    }

    TEST_CASE("every device's warnings are shown once, the gravest first") {
        const auto saying = [](std::uint8_t self, std::vector<mesh::messages::Warning> warnings) {
            mesh::Member member = other_device(self);
            mesh::messages::Announcement announcement;
            announcement.warnings = std::move(warnings);
            announcement.reading = self == 2;
            member.description.models = mesh::messages::encode({0, std::move(announcement)});
            return member;
        };
        using mesh::messages::Severity;
        StatusParts parts;
        parts.self = device_id(1);
        parts.members = {saying(1, {{"slow", Severity::notice, "02", "slow", ""}}),
                         saying(2, {{"slow", Severity::notice, "02", "slow", ""},
                                    {"disk-full", Severity::error, "02", "full", "make room"}})};
        const auto reply = cluster_status(parts);
        REQUIRE(reply.warnings.size() == 2);
        CHECK(reply.warnings[0].name == "disk-full");
        CHECK(reply.warnings[1].name == "slow");
        CHECK(reply.reading_models);
    }

    TEST_CASE("a device whose announcement is damaged holds no models") {
        mesh::Member member = other_device(2);
        CHECK(announcement_of(member).models.empty());
        member.description.models.assign(100, std::byte{0xC1});
        CHECK(announcement_of(member).models.empty());
        member.description.models = mesh::messages::encode(
            mesh::messages::PlanFrame{0, mesh::messages::PlanEnd{{}, "no announcement"}});
        CHECK(announcement_of(member).models.empty());
        CHECK(cluster_models({member}, {}).models.empty());
    }

    TEST_CASE("links are those of the device asked, to the devices of the plan") {
        mesh::messages::StatusReply reply;
        reply.devices.resize(3);
        for (std::uint8_t i = 0; i < 3; ++i) {
            reply.devices[i].id = device_id(i + 1).hex();
            reply.devices[i].rank = i == 2 ? -1 : i;
            reply.devices[i].link.transport = "the root's";
        }
        std::vector<mesh::LinkReport> links(2);
        links[0].peer = device_id(1), links[0].transport = "zmtp", links[0].cipher = "AES-256-GCM";
        links[0].collectives = 7, links[0].wait_p99_us = 40;
        links[1].peer = device_id(3), links[1].transport = "zmtp";  // of the plan before
        localise_status(reply, device_id(2), {}, links);
        CHECK(reply.devices[0].link.cipher == "AES-256-GCM");
        CHECK(reply.devices[0].link.collectives == 7);
        CHECK(reply.devices[0].link.wait_p99_us == 40);
        CHECK(reply.devices[1].link.transport.empty());
        CHECK(reply.devices[2].link.transport.empty());
    }

    TEST_CASE("a device has the address by which others know it") {
        StatusParts parts;
        parts.self = device_id(1);
        parts.members = {other_device(1), other_device(2)};
        parts.members[0].address = "127.0.0.1";
        parts.members[1].address = "10.0.0.2";
        parts.address = "10.0.0.1";
        auto reply = cluster_status(parts);
        CHECK(reply.devices[0].address == "10.0.0.1");
        CHECK(reply.devices[1].address == "10.0.0.2");
        // Seen from device 2, whose own record of itself says nothing.
        auto from_two = parts.members;
        from_two[0].address = "192.168.7.1";
        from_two[1].address = "127.0.0.1";
        localise_status(reply, device_id(2), from_two, {});
        CHECK(reply.devices[0].address == "192.168.7.1");
        CHECK(reply.devices[1].address == "10.0.0.2");
    }
}

}  // namespace status_test
