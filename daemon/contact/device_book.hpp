// The devices that belong to the cluster, there or not, as this device remembers them: data and its
// text, without files or a clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/mesh.hpp"
#include "mesh/messages/devices.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Times are seconds of the Unix epoch.
struct BookedDevice {
    mesh::PublicKey key{};
    std::string name, version, address;
    std::uint64_t since = 0;
    std::uint64_t seen = 0;
    bool operator==(const BookedDevice&) const = default;
};

/// Externally synchronised.
class DeviceBook {
  public:
    static constexpr std::size_t kMaxDevices = 512;
    /// So much of an id is asked for at least.
    static constexpr std::size_t kLeastDigits = 4;
    /// No text is longer.
    static constexpr std::size_t kMaxTextBytes = 1u << 20;

    /// What text() gave. Lines that it cannot read are left out: what they knew is learned anew.
    static DeviceBook parse(std::string_view text);
    std::string text() const;

    /// A member that is there. True when something is new that is worth storing; that it was seen
    /// is not. With no room the device that was not seen for longest goes.
    bool see(const mesh::Member& member, std::uint64_t now);
    /// It was there until then.
    void seen(const mesh::DeviceId& id, std::uint64_t now);
    void forget(const mesh::DeviceId& id) { devices_.erase(id); }

    const std::map<mesh::DeviceId, BookedDevice>& devices() const noexcept { return devices_; }
    bool knows(const mesh::PublicKey& key) const;
    /// The device of that name, or whose id begins so (4 digits or more); nothing with `why`, for a
    /// person, when there is none or more than one.
    std::optional<mesh::DeviceId> find(const std::string& text, std::string& why) const;

    std::uint64_t rotation = 0;                     ///< of the cluster's keys
    std::vector<mesh::messages::DeviceMark> marks;  ///< as in KeyRing
    std::string cluster;      ///< the fingerprint of the key that it had; empty: not known
    std::uint64_t since = 0;  ///< this device belongs to the cluster

    bool operator==(const DeviceBook&) const = default;

  private:
    std::map<mesh::DeviceId, BookedDevice> devices_;
};

}  // namespace shoal
