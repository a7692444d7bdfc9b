#include "cli/doctor/checks.hpp"

#include <algorithm>
#include <array>

namespace shoal::cli::doctor {
namespace {

constexpr std::array kChecks{
    Check{"settings", "the daemon's settings", check_settings},
    Check{"daemon", "the daemon", check_daemon},
    Check{"start", "start with the system", check_start},
    Check{"key", "the cluster's key", check_key},
    Check{"version", "versions", check_version},
    Check{"devices", "other devices", check_devices},
    Check{"warnings", "what daemons warn of", check_warnings},
    Check{"port", "the port of HTTP", check_port},
    Check{"firewall", "firewalls", check_firewall},
    Check{"clock", "the clock", check_clock},
    Check{"memory", "memory", check_memory},
    Check{"swap", "swap", check_swap},
    Check{"huge-pages", "huge pages", check_huge_pages},
    Check{"disk", "disks", check_disk},
    Check{"card", "wear of cards", check_card},
    Check{"governor", "the CPU's governor", check_governor},
    Check{"speed-limit", "limits of the CPU's clock", check_speed_limit},
    Check{"heat", "heat", check_heat},
    Check{"power", "the power supply", check_power},
    Check{"resets", "resets", check_resets},
    Check{"load", "other load", check_load},
    Check{"interfaces", "network interfaces", check_interfaces},
    Check{"routes", "ways to other devices", check_routes},
    Check{"loss", "lost packets", check_loss},
    Check{"round-trip", "round trips", check_round_trip},
    Check{"ethernet", "speed and duplex of Ethernet", check_ethernet},
    Check{"link-changes", "links that come and go", check_link_changes},
    Check{"energy-saving", "energy-efficient Ethernet", check_energy_saving},
    Check{"coalescing", "interrupt coalescing", check_coalescing},
    Check{"busy-poll", "busy polling", check_busy_poll},
};

}  // namespace

std::span<const Check> checks() noexcept {
    return kChecks;
}

std::vector<Result> examine(const Facts& facts) {
    std::vector<Result> results;
    for (const Check& check : kChecks) results.push_back({&check, check.look(facts)});
    return results;
}

std::size_t problems(const std::vector<Result>& results) noexcept {
    std::size_t count = 0;
    for (const Result& result : results) {
        if (!result.found) continue;
        count += static_cast<std::size_t>(std::ranges::count_if(
            *result.found, [](const Finding& f) { return f.severity != Severity::notice; }));
    }
    return count;
}

}  // namespace shoal::cli::doctor
