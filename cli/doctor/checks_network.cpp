#include <fmt/format.h>

#include <algorithm>

#include "cli/doctor/checks.hpp"

namespace shoal::cli::doctor {
namespace {

constexpr std::uint64_t kGigabit = 1000;
/// A token of an 8B model takes a hundred round trips: with these they are felt.
constexpr double kSlowWired = 1.0, kSlowWireless = 5.0;
/// Percent of pings.
constexpr double kMuchLoss = 2;
constexpr std::uint64_t kManyChanges = 8;  ///< a start makes two to four
constexpr std::uint32_t kLongWaitUs = 20;
/// Received packets with an error, some among so many, are a bad cable.
constexpr std::uint64_t kErrorsAmong = 100'000, kFewErrors = 10;

const Nic* nic_of(const Facts& facts, const std::string& name) {
    const auto found = std::ranges::find(facts.network.nics, name, &Nic::name);
    return found == facts.network.nics.end() ? nullptr : &*found;
}

/// Cables that are in, which wireless ones have none of.
std::vector<const Nic*> wired(const Facts& facts) {
    std::vector<const Nic*> out;
    for (const Nic& nic : facts.network.nics) {
        if (nic.up && !nic.wireless) out.push_back(&nic);
    }
    return out;
}

Found of_each_wired(const Facts& facts, void (*look)(const Facts&, const Nic&, Findings&)) {
    const auto nics = wired(facts);
    if (nics.empty()) return std::nullopt;
    Findings found;
    for (const Nic* nic : nics) look(facts, *nic, found);
    return found;
}

bool has_others(const Facts& facts) {
    return facts.daemon.status && facts.daemon.status->devices.size() > 1;
}

}  // namespace

Found check_interfaces(const Facts& facts) {
    if (facts.network.any_usable) return Findings{};
    const auto& named = facts.settings.cluster.interfaces;
    return Findings{{Severity::error,
                     named.empty()
                         ? std::string("no network interface is up by which other devices could be "
                                       "found; tunnels and bridges of containers do not count")
                         : fmt::format("of the interfaces in cluster.interfaces ({}) none is up",
                                       fmt::join(named, ", ")),
                     "ip -brief address",
                     "Plug the cable in or join a Wi-Fi, or name an interface in "
                     "cluster.interfaces."}};
}

Found check_routes(const Facts& facts) {
    if (facts.network.paths.empty()) return std::nullopt;
    Findings found;
    for (const Path& path : facts.network.paths) {
        const Nic* nic = nic_of(facts, path.interface);
        if (path.virtual_interface) {
            found.push_back(
                {Severity::warning,
                 fmt::format("{} ({}) is reached by {}, a tunnel or bridge, which costs "
                             "time for each token",
                             path.device, path.address, path.interface),
                 "ip route get " + path.address,
                 "Set cluster.interfaces to the real one, on both devices, and restart "
                 "their daemons."});
        } else if (nic != nullptr && nic->wireless) {
            found.push_back({Severity::notice,
                             fmt::format("{} is reached by Wi-Fi ({})", path.device, nic->name),
                             "ip route get " + path.address,
                             "A cable is several times quicker for tokens."});
        }
    }
    return found;
}

Found check_loss(const Facts& facts) {
    Findings found;
    bool looked = false;
    for (const Path& path : facts.network.paths) {
        // A device that answers no ping at all, and is there, does not answer pings.
        if (path.asked == 0 || path.answered == 0) continue;
        looked = true;
        const double lost = 100.0 * (path.asked - path.answered) / path.asked;
        if (lost < kMuchLoss) continue;
        found.push_back({Severity::warning,
                         fmt::format("{:.0f} % of {} packets to {} ({}) and back were lost", lost,
                                     path.asked, path.device, path.address),
                         "ping -c 200 -i 0.01 " + path.address,
                         "Try another cable and port of the switch; on recent kernels of boards, "
                         "switch energy-efficient Ethernet off."});
    }
    return looked ? Found(found) : std::nullopt;
}

Found check_round_trip(const Facts& facts) {
    Findings found;
    bool looked = false;
    for (const Path& path : facts.network.paths) {
        if (path.median_ms < 0) continue;
        looked = true;
        const Nic* nic = nic_of(facts, path.interface);
        const bool wireless = nic != nullptr && nic->wireless;
        if (path.median_ms < (wireless ? kSlowWireless : kSlowWired)) continue;
        found.push_back(
            {Severity::warning,
             fmt::format("a packet to {} ({}) and back takes {:.2f} ms; a token takes a "
                         "hundred such trips",
                         path.device, path.address, path.median_ms),
             "ping -c 20 " + path.address,
             wireless ? "Connect both by cable."
                      : "Connect both to one switch; look for load on either device."});
    }
    return looked ? Found(found) : std::nullopt;
}

Found check_ethernet(const Facts& facts) {
    return of_each_wired(facts, [](const Facts&, const Nic& nic, Findings& found) {
        if (nic.duplex == "half") {
            found.push_back(
                {Severity::error,
                 fmt::format("{} runs at half duplex: it cannot send while it receives", nic.name),
                 fmt::format("sudo ethtool -s {} autoneg on", nic.name),
                 "Try another cable, and a switch rather than a hub."});
        }
        if (nic.mbit && *nic.mbit < kGigabit) {
            found.push_back({Severity::warning,
                             fmt::format("{} runs at {} Mbit/s", nic.name, *nic.mbit),
                             fmt::format("sudo ethtool {}", nic.name),
                             "If both ends can do a gigabit, it is the cable: all eight wires are "
                             "needed."});
        }
        const std::uint64_t errors = nic.receive_errors.value_or(0);
        if (errors > kFewErrors && errors * kErrorsAmong > nic.received.value_or(0)) {
            found.push_back({Severity::warning,
                             fmt::format("{} received {} damaged packets among {}", nic.name,
                                         *nic.receive_errors, nic.received.value_or(0)),
                             fmt::format("ip -s link show {}", nic.name),
                             "Try another cable and another port of the switch."});
        }
    });
}

Found check_link_changes(const Facts& facts) {
    return of_each_wired(facts, [](const Facts&, const Nic& nic, Findings& found) {
        if (nic.link_changes.value_or(0) <= kManyChanges) return;
        found.push_back(
            {Severity::warning,
             fmt::format("the link of {} came or went {} times since the start", nic.name,
                         *nic.link_changes),
             fmt::format("sudo ethtool --set-eee {} eee off", nic.name),
             "Energy-efficient Ethernet does that on recent kernels of boards; else try "
             "another cable and port."});
    });
}

Found check_energy_saving(const Facts& facts) {
    const auto nics = wired(facts);
    if (std::ranges::none_of(nics,
                             [](const Nic* n) { return n->driver.saves_energy.has_value(); })) {
        return std::nullopt;
    }
    // Only there it was seen to lose packets; elsewhere it adds some microseconds.
    const bool board = facts.cpu.board.find("Raspberry Pi") != std::string::npos;
    Findings found;
    for (const Nic* nic : nics) {
        if (!nic->driver.saves_energy.value_or(false)) continue;
        found.push_back({board ? Severity::warning : Severity::notice,
                         fmt::format("energy-efficient Ethernet is on at {}: {}", nic->name,
                                     board ? "links of this board flap and lose packets with it"
                                           : "waking the link adds to each round trip"),
                         fmt::format("sudo ethtool --set-eee {} eee off", nic->name),
                         "The link is down for some seconds then. Until the next start of the "
                         "device."});
    }
    return found;
}

Found check_coalescing(const Facts& facts) {
    const auto nics = wired(facts);
    if (std::ranges::none_of(nics,
                             [](const Nic* n) { return n->driver.receive_wait_us.has_value(); })) {
        return std::nullopt;
    }
    Findings found;
    for (const Nic* nic : nics) {
        const auto wait = nic->driver.receive_wait_us.value_or(0);
        if (wait <= kLongWaitUs) continue;
        found.push_back(
            {Severity::notice,
             fmt::format("{} tells of a packet up to {} us after it came, to spare "
                         "interrupts",
                         nic->name, wait),
             fmt::format("sudo ethtool -C {} rx-usecs 4", nic->name),
             "Exchanges are quicker so, and the CPU has more interrupts. Until the next "
             "start of the device."});
    }
    return found;
}

Found check_busy_poll(const Facts& facts) {
    if (!facts.network.busy_read || !has_others(facts) || wired(facts).empty()) return std::nullopt;
    if (*facts.network.busy_read != 0 || facts.network.busy_poll.value_or(0) != 0) {
        return Findings{};
    }
    return Findings{{Severity::notice,
                     "the system does not poll network cards while it waits for a packet, which "
                     "some drivers could do, for some percent of speed",
                     "sudo sysctl net.core.busy_read=50 net.core.busy_poll=50",
                     "It takes a part of a processor from other programs."}};
}

}  // namespace shoal::cli::doctor
