// A device's own key pair, made once and kept in its state folder.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh {

/// The CURVE key pair of this device and the id that follows from it.
struct Identity {
    PublicKey public_key{};
    std::array<std::uint8_t, 32> secret_key{};
    DeviceId id;
};

/// A new key pair that is not stored anywhere.
/// Throws std::runtime_error when the random generator cannot be started.
Identity generate_identity();

/// The identity in `<state_dir>/device.key`, which is made (mode 0600) when there is none; the
/// folder is made (mode 0700) as well.
/// Throws std::runtime_error with the path when the file cannot be read or written, is damaged,
/// or may be read by others than its owner.
Identity load_or_create_identity(const std::filesystem::path& state_dir);

}  // namespace shoal::mesh
