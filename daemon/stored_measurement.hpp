// What this device does in a second: measured, kept in the state folder, read again at the start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "daemon/core/self_measurement.hpp"
#include "daemon/device_facts.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/measure/record.hpp"
#include "kernels/kernels.hpp"

namespace shoal {

/// Owned by the control thread. Nothing is called after its end, which waits for nothing:
/// `background` must have ended before, or be stopped with it.
class StoredMeasurement final : public SelfMeasurement {
  public:
    /// The file in the state folder.
    static constexpr const char* kFile = "measured.json";

    /// `given_bytes`: weights that the device multiplies in a second, as the user says; 0: it finds
    /// out. Reads what was measured under the same conditions; where there is nothing that can be
    /// used, the profile is guessed from measure_speed() until it is measured.
    /// Throws as measure_speed().
    StoredMeasurement(Loop& loop, Background& background, const kernels::Table& kernels,
                      const Placement& placement, std::filesystem::path state_folder,
                      std::uint64_t given_bytes);

    mesh::messages::BenchReply report() const override;
    Profile announced() const override;
    std::stop_source measure(Progress progress, Measured done) override;
    void adopt(const Profile& profile, std::function<void()> stored) override;

    /// What it announces from now on is this part of what was measured; 1: all.
    void slow_down_to(double part) noexcept { part_ = part; }

    /// Bytes of Q8_0 weights a second, as measure_speed() has them, of what was known at the start:
    /// who is preferred as a root does not change while the daemon runs.
    double speed() const noexcept { return speed_; }

  private:
    std::optional<measure::Record> read() const;

    Loop& loop_;
    Background& background_;
    const kernels::Table& kernels_;
    const Placement placement_;
    const std::filesystem::path path_;
    const measure::Conditions conditions_;  // now
    mesh::messages::ProfileOrigin origin_ = mesh::messages::ProfileOrigin::guessed;
    measure::Record record_;  // without a date where nothing was measured
    std::string not_stored_;
    double speed_ = 0, part_ = 1;
};

/// What a profile of this device depends on, as of now.
measure::Conditions conditions_here(const kernels::Table& kernels, const Placement& placement);

}  // namespace shoal
