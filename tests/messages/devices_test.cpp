#include "mesh/messages/devices.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

namespace devices_test {

using namespace shoal::mesh::messages;
using shoal::mesh::wire::DecodeError;

namespace {

KeyRing full_ring() {
    KeyRing ring;
    ring.rotation = ~0ULL;
    ring.keys.resize(kMaxKeys);
    for (auto& key : ring.keys) key.fill(static_cast<std::uint8_t>(&key - ring.keys.data() + 1));
    ring.marks.resize(kMaxMarks);
    for (auto& mark : ring.marks)
        mark.number = static_cast<std::uint64_t>(&mark - ring.marks.data());
    ring.marks[3].forgotten = true;
    return ring;
}

}  // namespace

TEST_SUITE("device messages") {
    TEST_CASE("every message comes back as it was, up to the limits") {
        for (const DeviceMessage& body :
             {DeviceMessage(full_ring()), DeviceMessage(Rename{std::string(kMaxDeviceName, 'x')}),
              DeviceMessage(Renamed{"no"})}) {
            const auto back = decode_device_frame(encode(DeviceFrame{7, body}));
            REQUIRE(static_cast<bool>(back));
            CHECK(back->id == 7);
            CHECK(back->body == body);
        }
    }

    TEST_CASE("beyond the limits nothing is sent or taken") {
        KeyRing ring = full_ring();
        ring.keys.emplace_back();
        CHECK_THROWS_AS(encode(DeviceFrame{0, ring}), std::length_error);
        ring = full_ring();
        ring.marks.emplace_back();
        CHECK_THROWS_AS(encode(DeviceFrame{0, ring}), std::length_error);
        CHECK_THROWS_AS(encode(DeviceFrame{0, Rename{std::string(kMaxDeviceName + 1, 'x')}}),
                        std::length_error);
        auto bytes = encode(DeviceFrame{0, full_ring()});
        for (std::size_t size = 0; size < bytes.size(); size += 7) {
            CHECK_FALSE(static_cast<bool>(decode_device_frame(std::span(bytes).first(size))));
        }
        // A list of five keys, as another program may write it.
        for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
            if (bytes[i] != std::byte{1} || bytes[i + 1] != std::byte{0x94}) continue;
            bytes[i + 1] = std::byte{0x95};
            const auto refused = decode_device_frame(bytes);
            REQUIRE_FALSE(static_cast<bool>(refused));
            break;
        }
    }
}

}  // namespace devices_test
