#include "daemon/plan/link_record.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/daemon/support.hpp"

namespace link_record_test {

using namespace shoal;
using namespace shoal::tests;

namespace {

KnownLink link(const std::string& date) {
    KnownLink out;
    out.there = {1.25e-4, 1.1e8};
    out.back = {1.25e-4, 9.7e7};
    out.date = date;
    out.first_address = "192.168.1.4";
    out.second_address = "fe80::1%eth0";
    out.transport = "zmtp";
    out.cipher = "AES-256-OCB";
    return out;
}

bool refused(const std::string& text) {
    try {
        static_cast<void>(links_from_text(text));
        return false;
    } catch (const std::runtime_error& error) {
        return std::string(error.what()) != "";
    }
}

std::string changed(std::string text, const std::string& what, const std::string& to) {
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    return text.replace(at, what.size(), to);
}

}  // namespace

TEST_SUITE("link record") {
    TEST_CASE("what is kept of links is what was measured") {
        CHECK(links_from_text(to_text({})).empty());
        KnownLinks links;
        links[std::minmax(device_id(1), device_id(2))] = link("2026-11-29T16:40:00Z");
        links[std::minmax(device_id(1), device_id(3))] = link("2026-11-30T16:40:00Z");
        CHECK(links_from_text(to_text(links)) == links);
    }

    TEST_CASE("of too many those measured last are kept") {
        KnownLinks links;
        for (std::size_t n = 0; n < kMaxKeptLinks + 10; ++n) {
            mesh::DeviceId other = device_id(2);
            other.bytes[14] = static_cast<std::uint8_t>(n >> 8);
            other.bytes[15] = static_cast<std::uint8_t>(n);
            links[std::minmax(device_id(1), other)] =
                link(n < 10 ? "2026-11-29T16:40:00Z" : "2026-11-30T16:40:00Z");
        }
        const KnownLinks kept = links_from_text(to_text(links));
        CHECK(kept.size() == kMaxKeptLinks);
        for (const auto& [pair, known] : kept) CHECK(known.date == "2026-11-30T16:40:00Z");
    }

    TEST_CASE("a file that is no such record is refused with the reason") {
        KnownLinks links;
        links[std::minmax(device_id(1), device_id(2))] = link("2026-11-29T16:40:00Z");
        const std::string text = to_text(links);
        for (std::size_t n = 0; n + 1 < text.size(); n += 7) CHECK(refused(text.substr(0, n)));
        CHECK(refused(changed(text, "\"format\":1", "\"format\":2")));
        CHECK(refused(changed(text, "0.000125", "-1")));
        CHECK(refused(changed(text, "0.000125", "\"x\"")));
        CHECK(refused(changed(text, "\"zmtp\"", "7")));
        CHECK(refused(changed(text, "\"zmtp\"", '"' + std::string(300, 'x') + '"')));
        CHECK(refused(changed(text, "\"date\"", "\"data\"")));
        const std::pair<mesh::DeviceId, mesh::DeviceId> pair =
            std::minmax(device_id(1), device_id(2));
        CHECK(refused(changed(text, pair.second.hex(), pair.first.hex())));
        CHECK(refused(changed(text, pair.first.hex(), "12")));
        CHECK(refused("[]"));
        CHECK(refused("{\"format\":1,\"links\":{}}"));
    }
}

}  // namespace link_record_test
