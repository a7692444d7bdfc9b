// What devices say to each other about who belongs to the cluster: its keys, and names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mesh/wire/codec.hpp"

namespace shoal::mesh::messages {

inline constexpr std::size_t kMaxKeys = 4;
inline constexpr std::size_t kMaxMarks = 512;
inline constexpr std::size_t kMaxDeviceName = 255;

/// Whether a device was forgotten, or let in again; the higher number counts.
struct DeviceMark {
    std::array<std::uint8_t, 16> id{};
    std::uint64_t number = 0;
    bool forgotten = false;
    bool operator==(const DeviceMark&) const = default;
};
/// The cluster's keys, the first of them its present one, and who may not have it.
struct KeyRing {
    std::uint64_t rotation = 0;  ///< how often the key was changed
    std::vector<std::array<std::uint8_t, 32>> keys;
    std::vector<DeviceMark> marks;
    bool operator==(const KeyRing&) const = default;
};
/// The receiver has another name from now on.
struct Rename {
    std::string name;
    bool operator==(const Rename&) const = default;
};
struct Renamed {
    std::string error;  ///< empty: it has
    bool operator==(const Renamed&) const = default;
};

using DeviceMessage = std::variant<KeyRing, Rename, Renamed>;

/// `id`: of a Rename, which its Renamed quotes; 0 elsewhere.
struct DeviceFrame {
    std::uint64_t id = 0;
    DeviceMessage body;
};

/// Throws std::length_error when a limit above is passed.
std::vector<std::byte> encode(const DeviceFrame& frame);
/// Malformed or oversized bytes give a DecodeError, never an exception.
wire::DecodeResult<DeviceFrame> decode_device_frame(std::span<const std::byte> bytes) noexcept;

}  // namespace shoal::mesh::messages
