#include "mesh/wire/beacon.hpp"

#include <sodium.h>

#include <cassert>
#include <vector>

#include "mesh/wire/bytes.hpp"

namespace shoal::mesh::wire {

namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'S', 'h', 'o', 'a'};
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kSignedBytes = kBeaconBytes - kMacBytes;

std::array<std::uint8_t, kMacBytes> mac_of(std::span<const std::byte> body,
                                           const BeaconKey& key) noexcept {
    std::array<std::uint8_t, kMacBytes> mac{};
    crypto_generichash(mac.data(), mac.size(), reinterpret_cast<const unsigned char*>(body.data()),
                       body.size(), key.data(), key.size());
    return mac;
}

}  // namespace

BeaconBytes encode(const Beacon& beacon, const BeaconKey& key) noexcept {
    std::vector<std::byte> out;
    out.reserve(kBeaconBytes);
    Writer writer(out);
    writer.bytes(kMagic);
    writer.integer(kBeaconVersion);
    writer.integer(static_cast<std::uint8_t>(beacon.kind));
    writer.integer(beacon.control_port);
    writer.integer(beacon.instance);
    writer.integer(beacon.age);
    writer.bytes(beacon.public_key);
    writer.bytes(beacon.nonce);
    writer.bytes(beacon.echo);
    assert(out.size() == kSignedBytes);
    writer.bytes(mac_of(out, key));
    BeaconBytes datagram{};
    std::copy(out.begin(), out.end(), datagram.begin());
    return datagram;
}

DecodeResult<Beacon> decode_beacon(std::span<const std::byte> datagram) noexcept {
    using Reason = DecodeError::Reason;
    Reader reader(datagram);
    if (reader.bytes<4>("magic") != kMagic) reader.fail(Reason::bad_value, "magic");
    if (reader.integer<std::uint8_t>("version") != kBeaconVersion) {
        reader.fail(Reason::wrong_version, "version");
    }
    const auto kind = reader.integer<std::uint8_t>("kind");
    if (kind < 1 || kind > 3) reader.fail(Reason::unknown_type, "kind");
    Beacon beacon;
    beacon.kind = static_cast<Beacon::Kind>(kind);
    beacon.control_port = reader.integer<std::uint16_t>("control port");
    if (beacon.control_port == 0) reader.fail(Reason::bad_value, "control port");
    beacon.instance = reader.integer<std::uint64_t>("instance");
    beacon.age = reader.integer<std::uint32_t>("age");
    beacon.public_key = reader.bytes<32>("public key");
    beacon.nonce = reader.bytes<16>("nonce");
    beacon.echo = reader.bytes<16>("echo");
    reader.take(kMacBytes, "MAC");
    if (!reader.rest().empty()) reader.fail(Reason::too_large, "length");
    if (reader.error()) return *reader.error();
    return beacon;
}

bool is_authentic(std::span<const std::byte> datagram, const BeaconKey& key) noexcept {
    assert(datagram.size() == kBeaconBytes);
    const auto mac = mac_of(datagram.first(kSignedBytes), key);
    return sodium_memcmp(mac.data(), datagram.data() + kSignedBytes, mac.size()) == 0;
}

}  // namespace shoal::mesh::wire
