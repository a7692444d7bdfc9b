#include "daemon/strain.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <system_error>

namespace shoal {
namespace {

namespace fs = std::filesystem;
using mesh::messages::Severity;

/// Bits of get_throttled.
constexpr std::uint32_t kUnderVoltage = 1;
constexpr std::uint32_t kHeldDown = 2 | 4 | 8;

constexpr double kMemoryStep = 1.0 / 16;
/// Clocks are taken in so many steps, so that noise does not move work about.
constexpr double kSpeedSteps = 8;

std::optional<double> pressure(const fs::path& file, const std::string& of) {
    std::ifstream in(file);
    // "some avg10=0.00 avg60=0.00 ..."
    for (std::string word; in >> word && word != "full";) {
        if (!word.starts_with(of)) continue;
        char* end = nullptr;
        const double value = std::strtod(word.c_str() + of.size(), &end);
        if (*end == '\0' && std::isfinite(value)) return value;
    }
    return std::nullopt;
}

template <typename Do>
void each_in(const fs::path& folder, const std::string& prefix, Do&& act) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        if (it->path().filename().string().starts_with(prefix)) act(it->path());
    }
}

std::optional<std::uint32_t> firmware(const fs::path& root) {
    std::optional<std::uint32_t> flags;
    each_in(root / "sys/devices/platform", "soc", [&](const fs::path& soc) {
        each_in(soc, "soc", [&](const fs::path& device) {
            std::ifstream in(device / "get_throttled");
            std::uint32_t value = 0;
            if (in >> std::hex >> value) flags = value;
        });
    });
    return flags;
}

bool cools(const fs::path& root) {
    bool any = false;
    each_in(root / "sys/class/thermal", "cooling_device", [&](const fs::path& device) {
        std::string kind;
        long state = 0;
        std::ifstream(device / "type") >> kind;
        std::ifstream(device / "cur_state") >> state;
        const bool of_cpu = kind.starts_with("thermal-cpufreq") || kind.starts_with("cpufreq");
        any = any || (of_cpu && state > 0);
    });
    return any;
}

std::optional<double> clock_part(const fs::path& root) {
    std::optional<double> least;
    each_in(root / "sys/devices/system/cpu/cpufreq", "policy", [&](const fs::path& policy) {
        double now = 0, highest = 0;
        std::ifstream(policy / "scaling_cur_freq") >> now;
        std::ifstream(policy / "cpuinfo_max_freq") >> highest;
        if (!(now > 0) || !(highest >= now)) return;
        least = std::min(least.value_or(1), now / highest);
    });
    return least;
}

}  // namespace

Strain read_strain(const fs::path& root) {
    Strain strain;
    strain.memory = pressure(root / "proc/pressure/memory", "avg10=");
    strain.cpu = pressure(root / "proc/pressure/cpu", "avg60=");
    strain.firmware = firmware(root);
    strain.cooling = cools(root);
    strain.clock = clock_part(root);
    return strain;
}

bool StrainWatch::Seen::look(bool now, Time time, std::chrono::minutes calm) {
    if (now) last = time;
    if (last && time - *last >= calm) last.reset();
    return last.has_value();
}

void StrainWatch::look(const Strain& now, bool computes, Time time) {
    if (computes) computed_ = time;
    warnings_.clear();
    const auto warn = [&](std::size_t name, const char* text, const char* remedy,
                          Severity severity = Severity::warning) {
        warnings_.push_back({kNames[name], severity, "", text, remedy});
    };

    // What is in between neither begins it nor ends it.
    const double waiting = now.memory.value_or(0);
    const bool waits = waiting >= kMuch;
    if (memory_.look(waits || (memory_.last && waiting > kLittle), time, kMemoryCalm)) {
        if (waits) memory_part_ = std::max(kLeastMemory, memory_part_ - kMemoryStep);
        warn(0,
             "programs on it wait for memory, so the next plan takes less of it, with a shorter "
             "context if it must",
             "end what is not needed there, or set models.context or device.memory_limit_bytes "
             "lower; shoal doctor shows more");
    } else {
        memory_part_ = 1;
    }

    const std::uint32_t flags = now.firmware.value_or(0);
    if (voltage_.look((flags & kUnderVoltage) != 0, time, kCalm)) {
        warn(1, "it gets too little voltage, and may reset while it computes",
             "use the power supply made for this board, and a short, thick cable");
    }
    const bool held = now.cooling || (flags & kHeldDown) != 0;
    if (throttled_.look(held, time, kCalm)) {
        warn(2, "its clock is held down for heat or weak power, so the next plan gives it less",
             "give it a fan, a heat sink or air, and its own power supply");
        // A governor lets an idle clock fall as well, and that says nothing.
        if (held && computes && now.clock) {
            const double part = std::round(*now.clock * kSpeedSteps) / kSpeedSteps;
            speed_part_ = std::clamp(part, kLeastSpeed, 1.0);
        }
    } else {
        speed_part_ = 1;
    }

    // The minute that the system tells of must lie behind the last step.
    const bool idle = !computed_ || time - *computed_ >= std::chrono::minutes(1) + kInterval;
    if (load_.look(idle && now.cpu.value_or(0) >= kBusy, time, kCalm)) {
        warn(3, "other programs compute on it, and all devices wait for the slowest one",
             "look with top what it is; shoal bench measures what is left for Shoal",
             Severity::notice);
    }
}

}  // namespace shoal
