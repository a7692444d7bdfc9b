// Devices that failed, and for how long plans go on without them. Pure; time is a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "mesh/wire/identity.hpp"

namespace shoal {

/// A device that failed is left out for kFirstPause, and for twice as long each further time, up
/// to kLongestPause. A fault is forgotten after a quiet time of kMemory. One that was lost may have
/// been switched off: that counts from the third time on. A device that starts again is tried at
/// once.
class Exclusions {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kFirstPause{5};
    static constexpr std::chrono::seconds kLongestPause{30 * 60};
    static constexpr std::chrono::seconds kMemory{10 * 60};
    static constexpr std::uint32_t kFreeLosses = 2;

    void failed(const mesh::DeviceId& device, std::string reason, Time now);
    void lost(const mesh::DeviceId& device, Time now);
    void joined(const mesh::DeviceId& device, Time now);
    void forget(const mesh::DeviceId& device) { faults_.erase(device); }
    void clear() { faults_.clear(); }

    /// Why a device is left out now, or nothing.
    std::optional<std::string> reason(const mesh::DeviceId& device, Time now) const;
    /// It failed not long ago; it may take part again.
    bool suspicious(const mesh::DeviceId& device) const { return faults_.contains(device); }
    /// Failures in a row.
    std::uint32_t strikes(const mesh::DeviceId& device) const;

  private:
    struct Faults {
        std::uint32_t strikes = 0;
        std::uint32_t losses = 0;
        Time latest, until;
        std::string reason;
    };
    Faults& faults_of(const mesh::DeviceId& device, Time now);

    std::map<mesh::DeviceId, Faults> faults_;
};

}  // namespace shoal
