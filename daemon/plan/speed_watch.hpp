// Whether devices are as fast as they said, by what their steps take. Pure.
#pragma once

#include <cstdint>
#include <map>

#include "daemon/engine/effort.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Shares are cut so that all devices take equally long. One that takes kMuch times as long as its
/// share lets expect, compared with the median device, and does so in two looks one after the
/// other, is corrected: it counts as that much slower from the next plan on. So is one that became
/// faster again, up to what it said. Plans that take turns are watched each by itself, and what is
/// seen in a plan's turns adds up.
class SpeedWatch {
  public:
    static constexpr double kMuch = 3;
    /// Nobody counts as slower than this: beyond it, it is the measurement that is off.
    static constexpr double kMost = 100;
    /// Fewer steps between two looks say nothing.
    static constexpr std::uint64_t kSteps = 16;
    /// Nor does what a device could have lost in a moment that does not last.
    static constexpr double kMomentSeconds = 1;

    /// A plan runs: each device's time for its share by what it said, in any unit. Changes nothing
    /// when it goes on.
    void begin(const mesh::PlanId& plan, const std::map<mesh::DeviceId, double>& expected);
    void end(const mesh::PlanId& plan) { plans_.erase(plan); }
    bool watching() const noexcept { return !plans_.empty(); }
    /// What devices did so far, each in one of the plans.
    void hear(const std::map<mesh::DeviceId, Effort>& efforts);
    /// Looks at what was heard. True when a correction changed.
    [[nodiscard]] bool look();
    /// How many times slower a device is than it said; 1: it is as it said.
    double correction(const mesh::DeviceId& device) const;
    void forget(const mesh::DeviceId& device) { corrections_.erase(device); }

  private:
    struct Device {
        double expected = 0;
        Effort heard, seen;  // the latest, and at the look before
        double before = 1;   // its factor at the look before
    };
    using Devices = std::map<mesh::DeviceId, Device>;
    bool look(Devices& devices);

    std::map<mesh::PlanId, Devices> plans_;
    std::map<mesh::DeviceId, double> corrections_;
};

}  // namespace shoal
