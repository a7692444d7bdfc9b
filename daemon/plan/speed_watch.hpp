// Whether devices are as fast as they said, by what their steps take. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "daemon/engine/effort.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Shares are cut so that all devices take equally long. One that takes kMuch times as long as its
/// share lets expect, compared with the median device, and does so in two looks one after the
/// other, is corrected: it counts as that much slower from the next plan on. So is one that became
/// faster again, up to what it said.
class SpeedWatch {
  public:
    static constexpr double kMuch = 3;
    /// Nobody counts as slower than this: beyond it, it is the measurement that is off.
    static constexpr double kMost = 100;
    /// Fewer steps between two looks say nothing.
    static constexpr std::uint64_t kSteps = 16;

    /// A plan begins: each device's time for its share by what it said, in any unit.
    void begin(std::map<mesh::DeviceId, double> expected);
    /// Looks at all devices' efforts in this plan. True when a correction changed.
    [[nodiscard]] bool look(const std::map<mesh::DeviceId, Effort>& efforts);
    /// How many times slower a device is than it said; 1: it is as it said.
    double correction(const mesh::DeviceId& device) const;
    void forget(const mesh::DeviceId& device) { corrections_.erase(device); }

  private:
    struct Device {
        double expected = 0;
        Effort seen;
        double before = 1;  // its factor at the look before
    };
    std::map<mesh::DeviceId, Device> devices_;
    std::map<mesh::DeviceId, double> corrections_;
};

}  // namespace shoal
