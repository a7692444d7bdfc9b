#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "cli/doctor/facts.hpp"
#include "mesh/discovery/interfaces.hpp"

namespace shoal::cli::doctor {
namespace {

constexpr const char* kNics = "/sys/class/net/";
/// The state of a listening socket in /proc/net/tcp.
constexpr std::string_view kListening = "0A";

/// Interfaces with hardware behind them.
std::vector<Nic> read_nics(const Tree& tree) {
    std::vector<Nic> nics;
    for (const std::string& name : tree.names(kNics)) {
        const std::string path = kNics + name + '/';
        if (!tree.exists(path + "device")) continue;
        Nic nic;
        nic.name = name;
        nic.up = tree.text(path + "operstate") == "up";
        nic.wireless = tree.exists(path + "wireless") || tree.exists(path + "phy80211");
        nic.mbit = tree.number(path + "speed");
        nic.duplex = tree.text(path + "duplex").value_or("");
        nic.link_changes = tree.number(path + "carrier_changes");
        nic.received = tree.number(path + "statistics/rx_packets");
        nic.receive_errors = tree.number(path + "statistics/rx_errors");
        if (tree.is_system()) nic.driver = ask_driver(name);
        nics.push_back(std::move(nic));
    }
    return nics;
}

std::vector<std::string> read_firewalls(const Tree& tree) {
    std::vector<std::string> found;
    const std::string ufw = tree.text("/etc/ufw/ufw.conf").value_or("");
    if (std::ranges::count(lines(ufw), "ENABLED=yes") != 0) found.emplace_back("ufw");
    if (tree.exists("/run/firewalld.pid") || tree.exists("/run/firewalld")) {
        found.emplace_back("firewalld");
    }
    const std::string rules = tree.text("/etc/nftables.conf").value_or("");
    if (tree.exists("/etc/systemd/system/sysinit.target.wants/nftables.service") &&
        rules.find("hook input") != std::string::npos && rules.find("drop") != std::string::npos) {
        found.emplace_back("nftables");
    }
    return found;
}

std::vector<std::uint16_t> read_listening(const Tree& tree) {
    std::vector<std::uint16_t> ports;
    for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        for (const std::string& line : lines(tree.text(file).value_or(""))) {
            const auto parts = words(line);
            if (parts.size() < 4 || parts[3] != kListening) continue;
            const auto port = parse_number("0x" + parts[1].substr(parts[1].find(':') + 1));
            if (port) ports.push_back(static_cast<std::uint16_t>(*port));
        }
    }
    return ports;
}

/// Of the network that an address belongs to, as most home networks are laid out.
std::string network_of(const std::string& address) {
    const auto dot = address.rfind('.');
    return dot == std::string::npos ? "" : address.substr(0, dot) + ".0/24";
}

}  // namespace

Ethtool ask_driver(const std::string& interface) {
    Ethtool told;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return told;
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    const auto ask = [&](auto& question) {
        request.ifr_data = reinterpret_cast<char*>(&question);
        return ioctl(fd, SIOCETHTOOL, &request) == 0;
    };
    ethtool_eee energy{};
    energy.cmd = ETHTOOL_GEEE;
    if (ask(energy)) told.saves_energy = energy.eee_active != 0 && energy.eee_enabled != 0;
    ethtool_coalesce coalesce{};
    coalesce.cmd = ETHTOOL_GCOALESCE;
    if (ask(coalesce)) told.receive_wait_us = coalesce.rx_coalesce_usecs;
    close(fd);
    return told;
}

Network read_network(const Tree& tree, const config::Settings& settings) {
    Network network;
    network.nics = read_nics(tree);
    network.busy_read = tree.number("/proc/sys/net/core/busy_read");
    network.busy_poll = tree.number("/proc/sys/net/core/busy_poll");
    network.firewalls = read_firewalls(tree);
    network.listening = read_listening(tree);
    if (!tree.is_system()) {
        network.any_usable = true;
        return network;
    }
    const auto interfaces = mesh::discovery::list_interfaces();
    const auto& only = settings.cluster.interfaces;
    network.any_usable = std::ranges::any_of(interfaces, [&](const auto& i) {
        return (i.flags & IFF_LOOPBACK) == 0 && mesh::discovery::is_usable(i, only);
    });
    network.neighbours = network_of(mesh::discovery::network_address(interfaces, only));
    return network;
}

}  // namespace shoal::cli::doctor
