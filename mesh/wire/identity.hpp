// Names that travel on the wire: devices, terms, plans, models.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace shoal::mesh {

/// A CURVE public key.
using PublicKey = std::array<std::uint8_t, 32>;

/// A device: the BLAKE2b-128 hash of its CURVE public key.
struct DeviceId {
    std::array<std::uint8_t, 16> bytes{};
    auto operator<=>(const DeviceId&) const = default;
    /// 32 lower-case hexadecimal digits.
    std::string hex() const;
    static std::optional<DeviceId> from_hex(std::string_view text) noexcept;
};

/// The id of the device that holds the secret half of `key`.
DeviceId device_id_of(const PublicKey& key) noexcept;

/// An election's number; ordered, and one root's alone. {0, {}} is "no term".
struct Term {
    std::uint64_t counter = 0;
    DeviceId candidate;
    auto operator<=>(const Term&) const = default;
};

/// A plan is valid within a term.
struct PlanId {
    Term term;
    std::uint32_t number = 0;
    auto operator<=>(const PlanId&) const = default;
};

/// A model: the BLAKE2b-256 hash of its file.
struct ModelHash {
    std::array<std::uint8_t, 32> bytes{};
    auto operator<=>(const ModelHash&) const = default;
    std::string hex() const;
    static std::optional<ModelHash> from_hex(std::string_view text) noexcept;
};

}  // namespace shoal::mesh

template <>
struct std::hash<shoal::mesh::DeviceId> {
    std::size_t operator()(const shoal::mesh::DeviceId& id) const noexcept {
        std::size_t h = 0;  // The id is a cryptographic hash already.
        for (std::size_t i = 0; i < sizeof h; ++i) h = h << 8 | id.bytes[i];
        return h;
    }
};
