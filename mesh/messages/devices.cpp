#include "mesh/messages/devices.hpp"

#include <stdexcept>

#include "mesh/messages/record_reader.hpp"
#include "mesh/messages/record_writer.hpp"

namespace shoal::mesh::messages {

template <typename F, Of<DeviceMark> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id);
    f(1, "number", s.number);
    f(2, "forgotten", s.forgotten);
}

template <typename F, Of<KeyRing> S>
void fields(F&& f, S& s) {
    f(0, "rotation", s.rotation);
    f(1, "keys", s.keys, kMaxKeys);
    f(2, "marks", s.marks, kMaxMarks);
}

template <typename F, Of<Rename> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxDeviceName);
}

template <typename F, Of<Renamed> S>
void fields(F&& f, S& s) {
    f(0, "error", s.error, 4096);
}

namespace {

constexpr std::array kDeviceNames{"key_ring", "rename", "renamed"};
static_assert(kDeviceNames.size() == std::variant_size_v<DeviceMessage>);

}  // namespace

std::vector<std::byte> encode(const DeviceFrame& frame) {
    std::string beyond;
    auto bytes = encode_frame(frame, beyond);
    if (!beyond.empty()) throw std::length_error("message about devices too large: " + beyond);
    return bytes;
}

wire::DecodeResult<DeviceFrame> decode_device_frame(std::span<const std::byte> bytes) noexcept {
    return decode_safely<DeviceFrame>(bytes, kDeviceNames);
}

}  // namespace shoal::mesh::messages
