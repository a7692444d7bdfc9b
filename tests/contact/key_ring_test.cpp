#include "daemon/contact/key_ring.hpp"

#include <doctest/doctest.h>

#include <set>

namespace key_ring_test {

using namespace shoal;
using mesh::messages::KeyRing;

namespace {

mesh::ClusterKey key(std::uint8_t number) {
    mesh::ClusterKey made;
    made.secret.fill(number);
    return made;
}
mesh::DeviceId device(std::uint8_t number) {
    mesh::DeviceId id;
    id.bytes[0] = number;
    return id;
}
KeyRing fresh() {
    return {0, {key(1).secret}, {}};
}
std::set<mesh::ClusterKey, bool (*)(const mesh::ClusterKey&, const mesh::ClusterKey&)> set_of(
    const KeyRing& ring) {
    const auto keys = keys_of(ring);
    return {keys.begin(), keys.end(), [](const mesh::ClusterKey& a, const mesh::ClusterKey& b) {
                return a.secret < b.secret;
            }};
}

}  // namespace

TEST_SUITE("key ring") {
    TEST_CASE("who forgets a device has another key, keeps the old one, and says whom") {
        const KeyRing ring = without(fresh(), device(7), key(2));
        CHECK(ring.rotation == 1);
        CHECK(keys_of(ring) == std::vector{key(2), key(1)});
        CHECK(forgotten(ring) == std::set{device(7)});
        // Who was not there learns it, and learns nothing new the second time.
        CHECK(merged(fresh(), ring) == ring);
        CHECK(merged(ring, fresh()) == ring);
        CHECK(merged(ring, ring) == ring);
    }

    TEST_CASE("two that forget at once come to the same key, and nobody comes back by it") {
        const KeyRing one = without(fresh(), device(7), key(2));
        const KeyRing other = without(fresh(), device(8), key(3));
        for (const KeyRing& ring : {merged(one, other), merged(other, one)}) {
            CHECK(ring.keys.front() == key(3).secret);
            CHECK(set_of(ring).size() == 3);
            CHECK(forgotten(ring) == std::set{device(7), device(8)});
            CHECK(merged(ring, one) == ring);
            CHECK(merged(ring, other) == ring);
        }
    }

    TEST_CASE("of the keys before the latest three stay") {
        KeyRing ring = fresh();
        for (std::uint8_t i = 2; i < 10; ++i) ring = without(ring, device(i), key(i));
        CHECK(keys_of(ring) == std::vector{key(9), key(8), key(7), key(6)});
        CHECK(forgotten(ring).size() == 8);
        CHECK(merged(ring, fresh()) == ring);
    }

    TEST_CASE("a device that is invited again is welcome, until it is forgotten again") {
        const KeyRing out = without(fresh(), device(7), key(2));
        const KeyRing in = readmitting(out, device(7));
        CHECK(forgotten(in).empty());
        CHECK(keys_of(in) == keys_of(out));
        CHECK(merged(out, in) == in);
        CHECK(merged(in, out) == in);
        CHECK(readmitting(in, device(7)) == in);
        CHECK(readmitting(fresh(), device(7)) == fresh());
        const KeyRing again = without(in, device(7), key(3));
        CHECK(forgotten(merged(in, again)) == std::set{device(7)});
    }

    TEST_CASE("no numbers and no crowd of marks keep a device from being forgotten") {
        KeyRing ring = fresh();
        CHECK(is_plausible(ring));
        ring.marks = {{device(7).bytes, std::uint64_t{1} << 33, false}};
        CHECK_FALSE(is_plausible(ring));
        ring.marks.clear();
        ring.rotation = ~std::uint64_t{0};
        CHECK_FALSE(is_plausible(ring));

        KeyRing crowd = fresh();
        for (std::size_t i = 0; i < mesh::messages::kMaxMarks; ++i) {
            mesh::DeviceId id = device(100);
            id.bytes[1] = static_cast<std::uint8_t>(i);
            id.bytes[2] = static_cast<std::uint8_t>(i >> 8);
            crowd.marks.push_back({id.bytes, 1, i % 2 == 0});
        }
        const KeyRing made = without(crowd, device(7), key(2));
        CHECK(forgotten(made).contains(device(7)));
        CHECK(made.marks.size() == mesh::messages::kMaxMarks);
        CHECK(forgotten(made).size() == forgotten(crowd).size() + 1);
    }
}

}  // namespace key_ring_test
