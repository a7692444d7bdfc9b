// The checks of `shoal doctor`, each by itself; the table of them is in checks.cpp.
#pragma once

#include "cli/doctor/finding.hpp"

namespace shoal::cli::doctor {

using Found = std::optional<Findings>;

// checks_cluster.cpp: the daemon, and what it says
Found check_settings(const Facts& facts);
Found check_daemon(const Facts& facts);
Found check_start(const Facts& facts);
Found check_key(const Facts& facts);
Found check_version(const Facts& facts);
Found check_devices(const Facts& facts);
Found check_warnings(const Facts& facts);
Found check_port(const Facts& facts);
Found check_firewall(const Facts& facts);

// checks_device.cpp
Found check_clock(const Facts& facts);
Found check_memory(const Facts& facts);
Found check_swap(const Facts& facts);
Found check_huge_pages(const Facts& facts);
Found check_disk(const Facts& facts);
Found check_card(const Facts& facts);
Found check_governor(const Facts& facts);
Found check_speed_limit(const Facts& facts);
Found check_heat(const Facts& facts);
Found check_power(const Facts& facts);
Found check_resets(const Facts& facts);
Found check_load(const Facts& facts);

// checks_network.cpp
Found check_interfaces(const Facts& facts);
Found check_routes(const Facts& facts);
Found check_loss(const Facts& facts);
Found check_round_trip(const Facts& facts);
Found check_ethernet(const Facts& facts);
Found check_link_changes(const Facts& facts);
Found check_energy_saving(const Facts& facts);
Found check_coalescing(const Facts& facts);
Found check_busy_poll(const Facts& facts);

}  // namespace shoal::cli::doctor
