#include "mesh/discovery/interfaces.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace shoal::mesh::discovery {

namespace {

/// Names that container, virtual machine and VPN software gives its interfaces.
constexpr std::array<std::string_view, 22> kVirtual{
    "docker", "br-",    "virbr",   "lxcbr", "lxdbr", "podman", "cni",       "flannel",
    "cali",   "cilium", "vnet",    "tun",   "tap",   "wg",     "tailscale", "zt",
    "ppp",    "vmnet",  "vboxnet", "utun",  "kube-", "dummy"};

std::string text_of(const sockaddr* address) {
    std::array<char, INET_ADDRSTRLEN> text{};
    sockaddr_in in{};
    std::copy_n(reinterpret_cast<const char*>(address), sizeof in, reinterpret_cast<char*>(&in));
    inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    return text.data();
}

void add_ipv6(Interface& interface, const sockaddr* address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    sockaddr_in6 in{};
    std::copy_n(reinterpret_cast<const char*>(address), sizeof in, reinterpret_cast<char*>(&in));
    // The same on every link, so it means nothing without the interface.
    if (IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr)) {
        interface.has_ipv6 = true;
    } else if (!IN6_IS_ADDR_LOOPBACK(&in.sin6_addr)) {
        inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
        interface.ipv6.emplace_back(text.data());
    }
}

}  // namespace

std::vector<Interface> list_interfaces() {
    ifaddrs* raw = nullptr;
    if (getifaddrs(&raw) != 0) {
        throw std::runtime_error("cannot list the network interfaces: " +
                                 std::system_category().message(errno));
    }
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> list(raw, &freeifaddrs);
    std::map<std::string, Interface> found;
    for (const ifaddrs* entry = raw; entry != nullptr; entry = entry->ifa_next) {
        if ((entry->ifa_flags & IFF_UP) == 0 || entry->ifa_addr == nullptr) continue;
        Interface& interface = found[entry->ifa_name];
        interface.name = entry->ifa_name;
        interface.flags = entry->ifa_flags;
        if (entry->ifa_addr->sa_family == AF_INET) {
            interface.ipv4.push_back(text_of(entry->ifa_addr));
            if ((entry->ifa_flags & IFF_BROADCAST) != 0 && entry->ifa_broadaddr != nullptr) {
                interface.broadcast.push_back(text_of(entry->ifa_broadaddr));
            }
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            add_ipv6(interface, entry->ifa_addr);
        }
    }
    std::vector<Interface> interfaces;
    for (auto& [name, interface] : found) {
        interface.index = if_nametoindex(name.c_str());
        if (interface.index != 0) interfaces.push_back(std::move(interface));
    }
    return interfaces;
}

std::string network_address(const std::vector<Interface>& interfaces,
                            const std::vector<std::string>& only) {
    for (const Interface& interface : interfaces) {
        const bool loopback = (interface.flags & IFF_LOOPBACK) != 0;
        if (!loopback && is_usable(interface, only) && !interface.ipv4.empty()) {
            return interface.ipv4.front();
        }
    }
    return {};
}

std::vector<std::string> reachable_addresses(const std::vector<Interface>& interfaces,
                                             const std::vector<std::string>& only) {
    std::vector<std::string> near, near_v6, own;
    for (const Interface& interface : interfaces) {
        if (!is_usable(interface, only)) continue;
        auto& list = (interface.flags & IFF_LOOPBACK) != 0 ? own : near;
        list.insert(list.end(), interface.ipv4.begin(), interface.ipv4.end());
        near_v6.insert(near_v6.end(), interface.ipv6.begin(), interface.ipv6.end());
    }
    near.insert(near.end(), near_v6.begin(), near_v6.end());
    return near.empty() ? own : near;
}

bool is_every_address(const std::string& bind) noexcept {
    in_addr v4{};
    in6_addr v6{};
    if (inet_pton(AF_INET, bind.c_str(), &v4) == 1) return v4.s_addr == INADDR_ANY;
    if (inet_pton(AF_INET6, bind.c_str(), &v6) == 1) return IN6_IS_ADDR_UNSPECIFIED(&v6);
    return bind == "*";
}

std::vector<std::string> listener_addresses(const std::string& bind,
                                            const std::vector<Interface>& interfaces,
                                            const std::vector<std::string>& only) {
    if (!is_every_address(bind)) return {bind};
    auto addresses = reachable_addresses(interfaces, only);
    in_addr v4{};
    // Listeners at :: and * hear both families.
    if (inet_pton(AF_INET, bind.c_str(), &v4) == 1) {
        std::erase_if(addresses,
                      [](const std::string& a) { return a.find(':') != std::string::npos; });
    }
    return addresses;
}

bool is_usable(const Interface& interface, const std::vector<std::string>& only) {
    if ((interface.flags & IFF_UP) == 0) return false;
    if (interface.ipv4.empty() && !interface.has_ipv6) return false;
    if (!only.empty()) return std::ranges::find(only, interface.name) != only.end();
    if ((interface.flags & IFF_LOOPBACK) != 0) return true;
    if ((interface.flags & IFF_POINTOPOINT) != 0) return false;
    if ((interface.flags & (IFF_MULTICAST | IFF_BROADCAST)) == 0) return false;
    const auto starts = [&](std::string_view prefix) { return interface.name.starts_with(prefix); };
    if (std::ranges::any_of(kVirtual, starts)) return false;
    // The host's end of a container's cable has no IPv4 address; the container's end has one.
    if (starts("veth") && interface.ipv4.empty()) return false;
    return true;
}

}  // namespace shoal::mesh::discovery
