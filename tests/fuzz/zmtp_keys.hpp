// Two devices whose keys never change, so that stored inputs stay what they are.
#pragma once

#include <sodium.h>

#include <cstdint>
#include <cstdlib>

#include "mesh/transport/identity_store.hpp"

namespace shoal::mesh {

inline Identity fixed_identity(std::uint8_t seed) {
    Identity identity;
    if (sodium_init() < 0) std::abort();
    identity.secret_key.fill(seed);
    crypto_scalarmult_base(identity.public_key.data(), identity.secret_key.data());
    identity.id = device_id_of(identity.public_key);
    return identity;
}

/// The device that is fuzzed, and the one that it knows.
inline Identity fuzzed_device() {
    return fixed_identity(1);
}
inline Identity known_device() {
    return fixed_identity(2);
}

/// The first byte of an input says what the others go to.
enum class ZmtpRole : std::uint8_t {
    clear_publisher,
    clear_subscriber,
    sealed_publisher,
    sealed_subscriber,
    clear_frames,   ///< behind a handshake
    sealed_frames,  ///< behind a handshake and a key
};
inline constexpr unsigned kZmtpRoles = 6;

}  // namespace shoal::mesh
