#include <utmpx.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "cli/doctor/facts.hpp"

namespace shoal::cli::doctor {
namespace {

constexpr const char* kCpus = "/sys/devices/system/cpu/";
/// Of a log of starts only the end is read.
constexpr std::streamoff kMaxLogBytes = 1 << 20;
constexpr std::uint64_t kWeekSeconds = 7 * 24 * 3600;
/// Zones whose limit is below it have none in truth.
constexpr double kLeastLimit = 40;

std::vector<Cpu::Policy> read_policies(const Tree& tree) {
    std::vector<Cpu::Policy> policies;
    const std::string folder = std::string(kCpus) + "cpufreq";
    for (const std::string& name : tree.names(folder)) {
        if (!name.starts_with("policy")) continue;
        const std::string path = folder + '/' + name + '/';
        Cpu::Policy policy;
        policy.name = name;
        policy.governor = tree.text(path + "scaling_governor").value_or("");
        policy.driver = tree.text(path + "scaling_driver").value_or("");
        policy.governors = words(tree.text(path + "scaling_available_governors").value_or(""));
        policy.max_khz = tree.number(path + "scaling_max_freq");
        policy.highest_khz = tree.number(path + "cpuinfo_max_freq");
        policies.push_back(std::move(policy));
    }
    return policies;
}

/// Where the firmware's driver is: below "soc" on most boards, "soc@107c000000" on others.
std::optional<std::uint64_t> read_throttled(const Tree& tree) {
    const std::string platform = "/sys/devices/platform";
    for (const std::string& soc : tree.names(platform)) {
        if (!soc.starts_with("soc")) continue;
        const std::string folder = platform + '/' + soc;
        for (const std::string& name : tree.names(folder)) {
            if (!name.ends_with(":firmware")) continue;
            const auto text = tree.text(folder + '/' + name + "/get_throttled");
            // Hexadecimal, without a sign that it is.
            if (text) return parse_number("0x" + *text);
        }
    }
    return std::nullopt;
}

std::optional<std::uint64_t> read_supply(const Tree& tree) {
    const auto bytes = tree.text("/proc/device-tree/chosen/power/max_current");
    if (!bytes || bytes->size() != 4) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : *bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

std::optional<bool> read_under_voltage(const Tree& tree) {
    const std::string folder = "/sys/class/hwmon";
    for (const std::string& name : tree.names(folder)) {
        const std::string path = folder + '/' + name + '/';
        if (tree.text(path + "name") != "rpi_volt") continue;
        const auto alarm = tree.number(path + "in0_lcrit_alarm");
        if (alarm) return *alarm != 0;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> read_throttle_count(const Tree& tree) {
    std::optional<std::uint64_t> most;
    for (const std::string& name : tree.names(kCpus)) {
        const auto count = tree.number(kCpus + name + "/thermal_throttle/package_throttle_count");
        if (count) most = std::max(most.value_or(0), *count);
    }
    return most;
}

/// The lowest temperature at which the kernel slows things down, or ends them.
double limit_of(const Tree& tree, const std::string& zone) {
    double limit = 0;
    for (int i = 0; i < 16; ++i) {
        const std::string trip = zone + "trip_point_" + std::to_string(i);
        const auto kind = tree.text(trip + "_type");
        if (!kind) break;
        const double celsius = static_cast<double>(tree.number(trip + "_temp").value_or(0)) / 1000;
        const bool counts = *kind == "passive" || *kind == "hot" || *kind == "critical";
        if (!counts || celsius < kLeastLimit) continue;
        limit = limit == 0 ? celsius : std::min(limit, celsius);
    }
    return limit;
}

std::vector<Cpu::Zone> read_zones(const Tree& tree) {
    std::vector<Cpu::Zone> zones;
    const std::string folder = "/sys/class/thermal";
    for (const std::string& name : tree.names(folder)) {
        if (!name.starts_with("thermal_zone")) continue;
        const std::string path = folder + '/' + name + '/';
        const auto temperature = tree.number(path + "temp");
        const double limit = limit_of(tree, path);
        if (!temperature || limit == 0) continue;
        zones.push_back({tree.text(path + "type").value_or(name),
                         static_cast<double>(*temperature) / 1000, limit});
    }
    return zones;
}

/// Starts of the last week that no shutdown came before, by the log that `last -x` shows.
std::uint32_t count_unclean_starts(const Tree& tree, std::uint64_t now) {
    std::ifstream file(tree.at("/var/log/wtmp"), std::ios::binary | std::ios::ate);
    if (!file) return 0;
    constexpr auto kSize = static_cast<std::streamoff>(sizeof(utmpx));
    const std::streamoff records = std::min<std::streamoff>(file.tellg(), kMaxLogBytes) / kSize;
    file.seekg(-records * kSize, std::ios::end);
    std::uint32_t unclean = 0;
    bool was_running = false;
    for (utmpx record{}; file.read(reinterpret_cast<char*>(&record), kSize);) {
        const bool starts = record.ut_type == BOOT_TIME;
        const bool recent = static_cast<std::uint64_t>(record.ut_tv.tv_sec) + kWeekSeconds >= now;
        if (starts && was_running && recent) ++unclean;
        if (starts) was_running = true;
        constexpr std::string_view kShutdown = "shutdown";
        if (std::strncmp(record.ut_user, kShutdown.data(), kShutdown.size()) == 0) {
            was_running = false;
        }
    }
    return unclean;
}

}  // namespace

Cpu read_cpu(const Tree& tree, std::uint64_t seconds_since_1970) {
    Cpu cpu;
    cpu.policies = read_policies(tree);
    cpu.pressure = read_pressure(tree, "cpu");
    cpu.pi_throttled = read_throttled(tree);
    cpu.pi_supply_ma = read_supply(tree);
    cpu.under_voltage = read_under_voltage(tree);
    cpu.throttle_count = read_throttle_count(tree);
    cpu.zones = read_zones(tree);
    cpu.board = tree.text("/proc/device-tree/model").value_or("");
    cpu.board.erase(std::find(cpu.board.begin(), cpu.board.end(), '\0'), cpu.board.end());
    cpu.unclean_starts = count_unclean_starts(tree, seconds_since_1970);
    return cpu;
}

}  // namespace shoal::cli::doctor
