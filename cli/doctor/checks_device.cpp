#include <fmt/format.h>

#include <algorithm>

#include "cli/doctor/checks.hpp"
#include "cli/terminal.hpp"

namespace shoal::cli::doctor {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
/// A clock that says less was never set: the day that this was written.
constexpr std::uint64_t kLeastDate = 1'796'000'000;
/// Less memory than this, and than a part of all, is little.
constexpr std::uint64_t kLittleMemory = 256 * kMiB;
constexpr std::uint64_t kLittlePart = 10;
/// Percent of a minute in which something waits, from which on it is felt.
constexpr double kMuchWaiting = 10;
/// The same of CPUs, for which something always waits a little; as the daemon has it.
constexpr double kMuchLoad = 40;
constexpr std::uint64_t kMuchSwapped = 64 * kMiB;
constexpr std::uint64_t kLittleDisk = 1024 * kMiB, kNoDisk = 100 * kMiB;
/// eMMC tells its wear in tenths of its life.
constexpr std::uint64_t kWorn = 9;
/// Below a zone's limit by less, a device is slowed down soon.
constexpr double kNearLimit = 5;
constexpr std::uint64_t kPi5SupplyMa = 5000;

/// Of get_throttled: as it is now, and 16 bits further whether it ever was since the start.
enum ThrottleBit : std::uint64_t { kUnderVoltage = 1, kCapped = 2, kThrottled = 4, kSoftLimit = 8 };
constexpr unsigned kSinceStart = 16;

/// Drivers whose governor "powersave" is the usual one, and follows the load.
bool scales_by_itself(const std::string& driver) {
    return driver == "intel_pstate" || driver == "amd-pstate-epp" || driver == "amd_pstate_epp";
}

}  // namespace

Found check_clock(const Facts& facts) {
    if (facts.seconds_since_1970 >= kLeastDate && facts.clock_synchronised.value_or(true)) {
        return facts.clock_synchronised ? Found(Findings{}) : std::nullopt;
    }
    return Findings{{Severity::notice,
                     "the clock is not set by the network; times in logs of several devices do not "
                     "go together",
                     "sudo timedatectl set-ntp true",
                     "",
                     {{"", "", {}, {"timedatectl", "set-ntp", "true"}}}}};
}

Found check_memory(const Facts& facts) {
    const Memory& m = facts.memory;
    if (!m.total_bytes || !m.available_bytes) return std::nullopt;
    Findings found;
    if (*m.available_bytes < std::max(kLittleMemory, *m.total_bytes / kLittlePart)) {
        found.push_back(
            {Severity::warning,
             fmt::format("{} of {} of memory are left", bytes_text(*m.available_bytes),
                         bytes_text(*m.total_bytes)),
             "ps -eo rss,comm --sort=-rss | head",
             "End what is not needed, or let the model have less: models.context, models.kv, "
             "device.memory_limit_bytes."});
    }
    if (m.killed.value_or(0) > 0) {
        found.push_back(
            {Severity::warning,
             fmt::format("the system has ended {} process{} for want of memory since it "
                         "started",
                         *m.killed, *m.killed == 1 ? "" : "es"),
             "sudo dmesg | grep -i 'out of memory'",
             "Set device.memory_limit_bytes lower, or a smaller models.context."});
    }
    if (m.pressure.value_or(0) > kMuchWaiting) {
        found.push_back(
            {Severity::warning,
             fmt::format("programs wait for memory in {:.0f} % of the time", *m.pressure),
             "ps -eo rss,comm --sort=-rss | head",
             "End what is not needed, or let the model have less "
             "(device.memory_limit_bytes)."});
    }
    return found;
}

Found check_swap(const Facts& facts) {
    Findings found;
    const auto swapped = facts.daemon.swapped_bytes.value_or(0);
    if (swapped > kMuchSwapped) {
        found.push_back({Severity::warning,
                         fmt::format("{} of the daemon's memory are swapped out; each token waits "
                                     "for them",
                                     bytes_text(swapped)),
                         "sudo systemctl restart shoald",
                         "And set device.memory_limit_bytes to what this device can spare."});
    }
    for (const auto& swap : facts.memory.swaps) {
        if (!swap.on_card || swap.used_bytes == 0) continue;
        found.push_back(
            {Severity::warning,
             fmt::format("{} of swap are on a card ({}), which wears it out and is slow",
                         bytes_text(swap.used_bytes), swap.file),
             "sudo swapoff " + swap.file,
             "When all fits into memory; zram (package systemd-zram-generator) swaps "
             "without a card."});
    }
    return found;
}

Found check_huge_pages(const Facts& facts) {
    if (!facts.memory.huge_pages) return std::nullopt;
    if (*facts.memory.huge_pages != "never") return Findings{};
    const std::string file = "/sys/kernel/mm/transparent_hugepage/enabled";
    return Findings{
        {Severity::warning,
         "huge pages are switched off; weights are read a tenth slower",
         fmt::format("echo madvise | sudo tee {}", file),
         "Until the next start of the device; the daemon takes them with the next model.",
         {{file, "madvise", {}, {}}}}};
}

Found check_disk(const Facts& facts) {
    if (facts.disk.folders.empty()) return std::nullopt;
    Findings found;
    for (const auto& folder : facts.disk.folders) {
        if (folder.read_only) {
            found.push_back(
                {Severity::error,
                 fmt::format("{} lies on a file system that cannot be written to", folder.path),
                 "sudo dmesg | grep -iE 'ext4|mmc|i/o error'",
                 "A card that fails becomes so: save what is on it."});
        } else if (folder.free_bytes.value_or(kLittleDisk) < kLittleDisk) {
            found.push_back({*folder.free_bytes < kNoDisk ? Severity::error : Severity::warning,
                             fmt::format("{} has {} left; parts of models are kept there",
                                         folder.path, bytes_text(*folder.free_bytes)),
                             fmt::format("sudo du -xh {} | sort -h | tail", folder.path),
                             "Delete models that are not used, or set device.state_dir to a folder "
                             "on another disk."});
        }
    }
    for (const auto& [device, count] : facts.disk.errors) {
        found.push_back({Severity::error,
                         fmt::format("the file system on {} has met {} error{}", device, count,
                                     count == 1 ? "" : "s"),
                         fmt::format("sudo e2fsck -fn /dev/{}", device),
                         "Save what is on it, then start once with fsck.mode=force fsck.repair=yes "
                         "on the kernel's command line; errors that come again are a disk that "
                         "fails."});
    }
    return found;
}

Found check_card(const Facts& facts) {
    Findings found;
    bool told = false;
    for (const auto& card : facts.disk.cards) {
        told = told || card.worn_tenths != 0;
        if (card.worn_tenths < kWorn && !card.near_end) continue;
        const std::string wear = card.worn_tenths > 10
                                     ? "all of its life"
                                     : fmt::format("{} % of its life", card.worn_tenths * 10);
        found.push_back({Severity::warning,
                         fmt::format("{} says that it has used {}", card.device, wear),
                         fmt::format("cat /sys/block/{}/device/life_time", card.device),
                         "Replace it before it fails, and save what is on it."});
    }
    return told || !found.empty() ? Found(found) : std::nullopt;
}

Found check_governor(const Facts& facts) {
    if (facts.cpu.policies.empty()) return std::nullopt;
    std::vector<Fix> fixes;
    for (const auto& policy : facts.cpu.policies) {
        if (policy.governor != "powersave" || scales_by_itself(policy.driver)) continue;
        fixes.push_back(
            {fmt::format("/sys/devices/system/cpu/cpufreq/{}/scaling_governor", policy.name),
             "performance",
             {},
             {}});
    }
    if (fixes.empty()) return Findings{};
    return Findings{{Severity::warning, "the governor powersave keeps the CPU at its lowest clock",
                     "echo performance | sudo tee "
                     "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
                     "Until the next start of the device.", fixes}};
}

Found check_speed_limit(const Facts& facts) {
    if (facts.cpu.policies.empty()) return std::nullopt;
    Findings found;
    for (const auto& policy : facts.cpu.policies) {
        if (!policy.max_khz || !policy.highest_khz || *policy.max_khz >= *policy.highest_khz) {
            continue;
        }
        found.push_back(
            {Severity::notice,
             fmt::format("{} is held at {} of {} MHz", policy.name, *policy.max_khz / 1000,
                         *policy.highest_khz / 1000),
             fmt::format("echo {} | sudo tee /sys/devices/system/cpu/cpufreq/{}/scaling_max_freq",
                         *policy.highest_khz, policy.name),
             "If nobody wanted it so, as for a weak power supply."});
    }
    return found;
}

Found check_heat(const Facts& facts) {
    const Cpu& cpu = facts.cpu;
    Findings found;
    for (const auto& zone : cpu.zones) {
        if (zone.celsius + kNearLimit < zone.limit_celsius) continue;
        found.push_back({Severity::warning,
                         fmt::format("{} has {:.0f} degrees; from {:.0f} on it is slowed down",
                                     zone.kind, zone.celsius, zone.limit_celsius),
                         "cat /sys/class/thermal/thermal_zone*/temp",
                         "Give it a fan, a heat sink or air."});
    }
    const std::uint64_t flags = cpu.pi_throttled.value_or(0);
    if ((flags & (kThrottled | kSoftLimit)) != 0) {
        found.push_back({Severity::warning, "the board is hot, and slowed down for it now",
                         "vcgencmd measure_temp", "Give it a fan, a heat sink or air."});
    } else if ((flags >> kSinceStart & (kThrottled | kSoftLimit)) != 0) {
        found.push_back({Severity::notice,
                         "the board was slowed down for its heat since it started",
                         "vcgencmd measure_temp", "Give it a fan, a heat sink or air."});
    }
    if (cpu.throttle_count.value_or(0) > 0) {
        found.push_back(
            {Severity::notice,
             fmt::format("the CPU was slowed down for its heat {} times since the start",
                         *cpu.throttle_count),
             "sudo journalctl -k -g thermal",
             "Clean its fan; shares follow a measurement: `shoal bench` when it is warm."});
    }
    const bool told = !cpu.zones.empty() || cpu.pi_throttled || cpu.throttle_count;
    return told ? Found(found) : std::nullopt;
}

Found check_power(const Facts& facts) {
    const Cpu& cpu = facts.cpu;
    if (!cpu.pi_throttled && !cpu.under_voltage && !cpu.pi_supply_ma) return std::nullopt;
    constexpr const char* kSupply = "Use the supply made for this board, and a short, thick cable.";
    constexpr const char* kLook = "vcgencmd get_throttled";
    const std::uint64_t flags = cpu.pi_throttled.value_or(0);
    Findings found;
    if ((flags & kUnderVoltage) != 0 || cpu.under_voltage.value_or(false)) {
        found.push_back({Severity::error, "the board gets too little voltage now, and may reset",
                         kLook, kSupply});
    } else if ((flags >> kSinceStart & kUnderVoltage) != 0) {
        found.push_back({Severity::warning, "the board has had too little voltage since it started",
                         kLook, kSupply});
    }
    if ((flags & kCapped) != 0) {
        found.push_back({Severity::warning, "the firmware holds the CPU's clock down now", kLook,
                         "Of heat or a weak supply, as the other findings say."});
    }
    if (cpu.pi_supply_ma.value_or(kPi5SupplyMa) < kPi5SupplyMa) {
        found.push_back(
            {Severity::warning,
             fmt::format("the supply promises {} mA; this board wants {} when all cores "
                         "compute",
                         *cpu.pi_supply_ma, kPi5SupplyMa),
             "vcgencmd pmic_read_adc EXT5V_V", kSupply});
    }
    return found;
}

Found check_resets(const Facts& facts) {
    const auto count = facts.cpu.unclean_starts;
    if (count == 0) return Findings{};
    return Findings{{Severity::warning,
                     fmt::format("this device started {} time{} in a week without having been shut "
                                 "down before: it lost its power, or resets under load",
                                 count, count == 1 ? "" : "s"),
                     "last -x reboot shutdown | head",
                     "If it happens while it computes, use a stronger supply, fewer threads "
                     "(device.threads) or a lower clock (arm_freq)."}};
}

Found check_load(const Facts& facts) {
    if (!facts.cpu.pressure) return std::nullopt;
    const bool computes = facts.daemon.status && facts.daemon.status->running > 0;
    if (computes || *facts.cpu.pressure <= kMuchLoad) return Findings{};
    return Findings{
        {Severity::warning,
         fmt::format("programs wait for a CPU in {:.0f} % of the time, and no request "
                     "runs: something else computes here",
                     *facts.cpu.pressure),
         "top -b -n 1 -o %CPU | head -n 15",
         "All devices wait for the slowest one; end it, or run `shoal bench` beside it, "
         "so that this device gets a smaller share."}};
}

}  // namespace shoal::cli::doctor
