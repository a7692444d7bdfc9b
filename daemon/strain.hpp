// What keeps this device from giving what it could: too little memory, heat, power, other programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mesh/messages/warning.hpp"

namespace shoal {

/// As of now; a nothing is what the system does not tell.
struct Strain {
    std::optional<double> memory;  ///< percent of ten seconds in which something waited for memory
    std::optional<double> cpu;     ///< percent of a minute in which something waited for a CPU
    std::optional<std::uint32_t> firmware;  ///< get_throttled of a Raspberry Pi
    bool cooling = false;                   ///< the kernel holds a CPU's clock down for heat
    std::optional<double> clock;  ///< part of its highest that the slowest CPU's clock has
};

Strain read_strain(const std::filesystem::path& root = "/");

/// What follows from several looks. Owned by one thread.
class StrainWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;

    /// Looks are to be so far apart.
    static constexpr std::chrono::seconds kInterval{10};
    /// Percent of waiting that counts, and so little that it is over.
    static constexpr double kMuch = 10, kLittle = 1;
    /// Waiting for a CPU that counts while nothing computes here.
    static constexpr double kBusy = 40;
    /// What was found is over when it was not seen again for this long.
    static constexpr std::chrono::minutes kCalm{2};
    /// Memory is given back to plans after this.
    static constexpr std::chrono::minutes kMemoryCalm{10};
    /// Never less of the memory, or of the speed, than these parts.
    static constexpr double kLeastMemory = 0.75, kLeastSpeed = 0.25;

    /// Names of the warnings.
    static constexpr const char* kNames[] = {"memory-pressure", "under-voltage", "throttled",
                                             "other-load"};

    /// `computes`: steps were computed since the last look.
    void look(const Strain& now, bool computes, Time time);

    /// What is wrong, without a device's id.
    const std::vector<mesh::messages::Warning>& warnings() const noexcept { return warnings_; }
    /// The part of this device's memory that the next plan may take; less by a sixteenth with each
    /// look at which programs wait for memory.
    double memory_part() const noexcept { return memory_part_; }
    /// The part of its measured speed that it has while its clock is held down.
    double speed_part() const noexcept { return speed_part_; }

  private:
    /// Something that was seen, and since when it was not seen again.
    struct Seen {
        std::optional<Time> last;
        bool look(bool now, Time time, std::chrono::minutes calm);
    };

    Seen memory_, voltage_, throttled_, load_;
    std::optional<Time> computed_;
    std::vector<mesh::messages::Warning> warnings_;
    double memory_part_ = 1, speed_part_ = 1;
};

}  // namespace shoal
