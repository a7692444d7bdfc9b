#include "mesh/wire/control.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <limits>
#include <random>

#include "mesh/wire/beacon.hpp"

namespace control_test {

using namespace shoal::mesh;
using namespace shoal::mesh::wire;
using Reason = DecodeError::Reason;

namespace {

DeviceDescription full_description() {
    DeviceDescription d;
    d.name = "attic";
    d.memory_total = 1ull << 35;
    d.memory_available = 1ull << 34;
    d.threads = 4;
    d.cpu = "avx2";
    d.version = "1.2.3";
    d.priority = -7;
    d.speed = 2.5e10;
    d.data_endpoint = "tcp://:4711";
    d.models = {std::byte{1}, std::byte{0}, std::byte{255}};
    return d;
}

ElectionState a_state() {
    ElectionState state;
    state.term.counter = 12;
    state.term.candidate.bytes[3] = 9;
    state.followers = 3;
    return state;
}

std::vector<ControlMessage> one_of_each() {
    Sighting device;
    device.id.bytes[0] = 1;
    device.host = "fe80::1%eth0";
    device.port = 47475;
    return {Hello{1, 2, a_state(), full_description(), 3, 12},
            Heartbeat{3, 4, 5, 6, a_state(), 13},
            Describe{7, full_description(), 14},
            Leave{8},
            Sightings{9, {device, device}},
            Mark{10, Lane::bulk, 11}};
}

Reason reason_of(std::span<const std::byte> bytes) {
    const auto result = decode_control(bytes);
    REQUIRE_FALSE(result);
    CHECK_FALSE(result.error().what.empty());
    return result.error().reason;
}

/// Offset of the description's fields in a Describe message: version, type, session, revision.
constexpr std::size_t kDescription = 1 + 1 + 8 + 4;

void put16(std::vector<std::byte>& bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::byte>(value & 0xff);
    bytes[at + 1] = static_cast<std::byte>(value >> 8 & 0xff);
}

}  // namespace

TEST_SUITE("control messages") {
    TEST_CASE("every message survives the wire") {
        for (const ControlMessage& message : one_of_each()) {
            CAPTURE(message.index());
            const auto decoded = decode_control(encode(message));
            REQUIRE(decoded);
            REQUIRE(decoded->index() == message.index());
            std::visit(
                [&](const auto& m) {
                    using T = std::decay_t<decltype(m)>;
                    if constexpr (!std::is_same_v<T, Application>) {
                        CHECK(std::get<T>(*decoded) == m);
                    }
                },
                message);
        }
    }

    TEST_CASE("an application message carries its body behind the header") {
        auto bytes = encode(Application{5, Lane::bulk, 77, {}});
        bytes.push_back(std::byte{42});
        const auto decoded = decode_control(bytes);
        REQUIRE(decoded);
        const auto& application = std::get<Application>(*decoded);
        CHECK(application.to == 5);
        CHECK(application.lane == Lane::bulk);
        CHECK(application.sequence == 77);
        REQUIRE(application.body.size() == 1);
        CHECK(application.body[0] == std::byte{42});
    }

    TEST_CASE("every message cut short is refused, and extra bytes of a later version are not") {
        for (const ControlMessage& message : one_of_each()) {
            auto bytes = encode(message);
            for (std::size_t n = 0; n < bytes.size(); ++n) {
                CAPTURE(n);
                CHECK(reason_of(std::span(bytes).first(n)) == Reason::truncated);
            }
            bytes.push_back(std::byte{1});
            CHECK(decode_control(bytes));
        }
    }

    TEST_CASE("unknown versions and types are told apart") {
        auto bytes = encode(Leave{1});
        bytes[0] = std::byte{2};
        CHECK(reason_of(bytes) == Reason::wrong_version);
        bytes[0] = std::byte{1};
        for (const int type : {0, 8, 255}) {
            bytes[1] = static_cast<std::byte>(type);
            CHECK(reason_of(bytes) == Reason::unknown_type);
        }
    }

    TEST_CASE("a name beyond its limit is refused on arrival and cut on departure") {
        auto bytes = encode(Describe{1, full_description()});
        put16(bytes, kDescription, kMaxNameBytes + 1);
        bytes.resize(4096);
        CHECK(reason_of(bytes) == Reason::too_large);
        DeviceDescription d;
        d.name = std::string(1000, 'n');
        const auto decoded = decode_control(encode(Describe{1, d}));
        REQUIRE(decoded);
        CHECK(std::get<Describe>(*decoded).description.name.size() == kMaxNameBytes);
    }

    TEST_CASE("models beyond their limit are refused, also when the bytes are not there") {
        DeviceDescription d;
        d.models.resize(kMaxModelsBytes);
        auto bytes = encode(Describe{1, d});
        REQUIRE(decode_control(bytes));
        const std::size_t length_at = bytes.size() - kMaxModelsBytes - 4;
        for (std::size_t i = 0; i < 4; ++i) bytes[length_at + i] = std::byte{0xff};
        CHECK(reason_of(bytes) == Reason::too_large);
        bytes.resize(length_at + 4);
        CHECK(reason_of(bytes) == Reason::too_large);
    }

    TEST_CASE("too many sightings are refused") {
        auto bytes = encode(Sightings{1, {}});
        put16(bytes, bytes.size() - 2, kMaxSightings + 1);
        CHECK(reason_of(bytes) == Reason::too_large);
        Sightings many{1, std::vector<Sighting>(kMaxSightings + 50)};
        const auto decoded = decode_control(encode(many));
        REQUIRE(decoded);
        CHECK(std::get<Sightings>(*decoded).devices.size() == kMaxSightings);
    }

    TEST_CASE("application messages beyond the limit of their lane are refused") {
        auto bytes = encode(Application{1, Lane::small, 0, {}});
        const std::size_t header = bytes.size();
        bytes.resize(header + kSmallMessageBytes);
        CHECK(decode_control(bytes));
        bytes.resize(header + kSmallMessageBytes + 1);
        CHECK(reason_of(bytes) == Reason::too_large);
        auto bulk = encode(Application{1, Lane::bulk, 0, {}});
        bulk.resize(header + kMaxApplicationBytes + 1);
        CHECK(reason_of(bulk) == Reason::too_large);
    }

    TEST_CASE("only application messages and marks travel on a lane of their own") {
        for (const Lane lane : {Lane::small, Lane::bulk}) {
            CHECK(lane_of(Application{1, lane, 0, {}}) == lane);
            CHECK(lane_of(Mark{1, lane, 0}) == lane);
        }
        CHECK(lane_of(Leave{1}) == Lane::membership);
        CHECK(reason_of(encode(Application{1, Lane::membership, 0, {}})) == Reason::bad_value);
        CHECK(reason_of(encode(Mark{1, Lane::membership, 0})) == Reason::bad_value);
    }

    TEST_CASE("messages of the membership lane are short") {
        auto bytes = encode(Leave{1});
        bytes.resize(kMaxControlBytes + 1);
        CHECK(reason_of(bytes) == Reason::too_large);
    }

    TEST_CASE("values that make no sense are refused") {
        Hello hello{0, 1, {}, {}};
        CHECK(reason_of(encode(hello)) == Reason::bad_value);
        ElectionState state = a_state();
        state.term.counter = kMaxTermCounter + 1;
        CHECK(reason_of(encode(Heartbeat{1, 1, 1, 1, state})) == Reason::bad_value);
        state.term.counter = 0;
        CHECK(reason_of(encode(Heartbeat{1, 1, 1, 1, state})) == Reason::bad_value);
        for (const double speed : {-1.0, std::numeric_limits<double>::infinity(),
                                   std::numeric_limits<double>::quiet_NaN()}) {
            DeviceDescription d;
            d.speed = speed;
            CHECK(reason_of(encode(Describe{1, d})) == Reason::bad_value);
        }
    }
}

TEST_SUITE("beacon") {
    Beacon a_beacon() {
        Beacon beacon;
        beacon.kind = Beacon::Kind::answer;
        beacon.control_port = 40123;
        beacon.instance = 0x0123456789abcdef;
        beacon.age = 0x01020304;
        for (std::size_t i = 0; i < 32; ++i) beacon.public_key[i] = static_cast<std::uint8_t>(i);
        beacon.nonce[0] = 1;
        beacon.echo[15] = 2;
        return beacon;
    }

    TEST_CASE("a beacon survives the wire, and any changed bit breaks its MAC") {
        REQUIRE(sodium_init() >= 0);
        BeaconKey key{}, other{};
        key[0] = 1;
        auto bytes = encode(a_beacon(), key);
        const auto decoded = decode_beacon(bytes);
        REQUIRE(decoded);
        CHECK(*decoded == a_beacon());
        CHECK(is_authentic(bytes, key));
        CHECK_FALSE(is_authentic(bytes, other));
        for (std::size_t bit = 0; bit < kBeaconBytes * 8; ++bit) {
            const auto mask = static_cast<std::byte>(1 << bit % 8);
            bytes[bit / 8] ^= mask;
            CHECK_FALSE(is_authentic(bytes, key));
            bytes[bit / 8] ^= mask;
        }
    }

    TEST_CASE("datagrams that are no beacons are refused") {
        const BeaconKey key{};
        const auto good = encode(a_beacon(), key);
        const auto reason = [](std::span<const std::byte> bytes) {
            const auto result = decode_beacon(bytes);
            REQUIRE_FALSE(result);
            return result.error().reason;
        };
        for (std::size_t n = 0; n < kBeaconBytes; ++n) {
            CHECK_FALSE(decode_beacon(std::span(good).first(n)));
        }
        std::vector<std::byte> longer(good.begin(), good.end());
        longer.push_back({});
        CHECK(reason(longer) == Reason::too_large);
        const auto with = [&](std::size_t at, int value) {
            auto bytes = good;
            bytes[at] = static_cast<std::byte>(value);
            return bytes;
        };
        CHECK(reason(with(0, 'x')) == Reason::bad_value);
        CHECK(reason(with(4, 2)) == Reason::wrong_version);
        CHECK(reason(with(5, 0)) == Reason::unknown_type);
        CHECK(reason(with(5, 4)) == Reason::unknown_type);
        auto no_port = with(6, 0);
        no_port[7] = {};
        CHECK(reason(no_port) == Reason::bad_value);
    }
}

}  // namespace control_test
