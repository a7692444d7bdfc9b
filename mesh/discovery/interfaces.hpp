// The network interfaces that beacons go out on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal::mesh::discovery {

struct Interface {
    std::string name;
    unsigned index = 0;
    unsigned flags = 0;                  ///< IFF_*
    std::vector<std::string> ipv4;       ///< its addresses
    std::vector<std::string> broadcast;  ///< of its IPv4 networks
    bool has_ipv6 = false;               ///< a link-local address
    std::vector<std::string> ipv6{};     ///< its addresses that hold without naming the interface
    bool operator==(const Interface&) const = default;
};

/// All interfaces that are up.
/// Throws std::runtime_error when the system does not tell.
std::vector<Interface> list_interfaces();

/// The IPv4 address by which others on the local network reach this device, which is one of the
/// first usable interface that is no loopback; empty when there is none.
std::string network_address(const std::vector<Interface>& interfaces,
                            const std::vector<std::string>& only);

/// The addresses by which others may reach this device: those of usable interfaces, IPv4 first, and
/// of the loopback when there is no other.
std::vector<std::string> reachable_addresses(const std::vector<Interface>& interfaces,
                                             const std::vector<std::string>& only);

/// Whether a listener at this address ("*" or a numeric one) hears at every address.
bool is_every_address(const std::string& bind) noexcept;

/// Where others may reach a listener at `bind`: there, or at every address that is of its family.
std::vector<std::string> listener_addresses(const std::string& bind,
                                            const std::vector<Interface>& interfaces,
                                            const std::vector<std::string>& only);

/// Whether beacons go out on it. With `only`, exactly those named; else every real one and the
/// loopback, where the daemons of one machine meet. Tunnels, and the bridges and cables that
/// container and virtual machine software makes, lead to no other device of ours.
bool is_usable(const Interface& interface, const std::vector<std::string>& only);

}  // namespace shoal::mesh::discovery
