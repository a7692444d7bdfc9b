#include "mesh/discovery/udp_link.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace shoal::mesh::discovery {

namespace {

/// A socket address of either family.
struct Address {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;

    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    int family() const noexcept { return storage.ss_family; }
};

Address address4(in_addr host, std::uint16_t port) {
    Address address;
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr = host;
    std::memcpy(&address.storage, &in, sizeof in);
    address.length = sizeof in;
    return address;
}

Address address6(in6_addr host, std::uint16_t port, unsigned scope) {
    Address address;
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    in.sin6_addr = host;
    in.sin6_scope_id = scope;
    std::memcpy(&address.storage, &in, sizeof in);
    address.length = sizeof in;
    return address;
}

in_addr ipv4(const char* text) {
    in_addr address{};
    inet_pton(AF_INET, text, &address);
    return address;
}

in6_addr ipv6(const char* text) {
    in6_addr address{};
    inet_pton(AF_INET6, text, &address);
    return address;
}

std::optional<Address> to_address(const Endpoint& endpoint) {
    in_addr host4{};
    if (inet_pton(AF_INET, endpoint.host.c_str(), &host4) == 1) {
        return address4(host4, endpoint.port);
    }
    const auto percent = endpoint.host.find('%');
    in6_addr host6{};
    if (inet_pton(AF_INET6, endpoint.host.substr(0, percent).c_str(), &host6) != 1) {
        return std::nullopt;
    }
    const unsigned scope = percent == std::string::npos
                               ? 0
                               : if_nametoindex(endpoint.host.substr(percent + 1).c_str());
    return address6(host6, endpoint.port, scope);
}

std::optional<Endpoint> to_endpoint(const Address& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.family() == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &address.storage, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
        return Endpoint{text.data(), ntohs(in.sin_port)};
    }
    sockaddr_in6 in{};
    std::memcpy(&in, &address.storage, sizeof in);
    inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
    std::string host = text.data();
    if (IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr)) {
        std::array<char, IF_NAMESIZE> name{};
        if (if_indextoname(in.sin6_scope_id, name.data()) == nullptr) return std::nullopt;
        host.append("%").append(name.data());
    }
    return Endpoint{std::move(host), ntohs(in.sin6_port)};
}

/// "a, b and c".
std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
    }
    return text;
}

/// Sends on one interface, from the given address if there is one. Beacons are repeated, so a
/// failure (an interface that just went away, a full buffer) is nobody's concern.
void send_on(int fd, const Interface& interface, std::optional<in_addr> from, const Address& to,
             std::span<const std::byte> bytes) {
    iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    msghdr message{};
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.length;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (from) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
        in_pktinfo info{};
        info.ipi_ifindex = static_cast<int>(interface.index);
        info.ipi_spec_dst = *from;
        std::memcpy(CMSG_DATA(header), &info, sizeof info);
    }
    (void)::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

UdpLink::Socket::Socket(int family)
    : fd_(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {}

UdpLink::Socket::~Socket() {
    if (fd_ >= 0) ::close(fd_);
}

UdpLink::Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

UdpLink::Socket& UdpLink::Socket::operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

void UdpLink::Socket::option(int level, int name, int value) const {
    // Options refine what the socket does; without one it still serves.
    (void)::setsockopt(fd_, level, name, &value, sizeof value);
}

bool UdpLink::Socket::bind(int family, std::uint16_t port) const {
    const Address address =
        family == AF_INET ? address4({INADDR_ANY}, port) : address6(in6addr_any, port, 0);
    return ::bind(fd_, address.get(), address.length) == 0;
}

UdpLink::UdpLink(const UdpConfig& config)
    : config_(config), peers_(config.peers, config.beacon_port) {
    v4_.family = AF_INET;
    v6_.family = AF_INET6;
    open(v4_, config_.beacon_port);
    const int error = errno;
    open(v6_, config_.beacon_port);
    if (!v4_.own && !v6_.own) {
        throw std::runtime_error("cannot listen for beacons at UDP port " +
                                 std::to_string(config_.beacon_port) + ": " +
                                 std::system_category().message(error));
    }
    rescan();
}

UdpLink::~UdpLink() = default;

void UdpLink::open(Family& family, std::uint16_t port) {
    Socket shared(family.family), own(family.family);
    if (!shared || !own) return;
    shared.option(SOL_SOCKET, SO_REUSEADDR, 1);
    for (const Socket* socket : {&shared, &own}) {
        if (family.family == AF_INET) {
            socket->option(SOL_SOCKET, SO_BROADCAST, 1);
            socket->option(IPPROTO_IP, IP_MULTICAST_ALL, 0);
            socket->option(IPPROTO_IP, IP_MULTICAST_TTL, 1);
            socket->option(IPPROTO_IP, IP_MULTICAST_LOOP, 1);
        } else {
            socket->option(IPPROTO_IPV6, IPV6_V6ONLY, 1);
            socket->option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
            socket->option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
        }
    }
    if (!shared.bind(family.family, port)) return;
    bool is_bound = false;
    for (std::uint32_t i = 1; i <= kOwnPorts && !is_bound && port + i <= 65535; ++i) {
        is_bound = own.bind(family.family, static_cast<std::uint16_t>(port + i));
    }
    if (!is_bound && !own.bind(family.family, 0)) return;
    family.shared = std::move(shared);
    family.own = std::move(own);
}

void UdpLink::rescan() {
    const auto now = std::chrono::steady_clock::now();
    if (!config_.multicast || now < next_scan_) return;
    next_scan_ = now + kRescan;
    std::vector<Interface> found;
    try {
        found = list_interfaces();
    } catch (const std::runtime_error&) {
        return;  // Out of descriptors or memory for a moment; the old list serves.
    }
    present_.clear();
    for (const Interface& interface : found) present_.push_back(interface.name);
    std::erase_if(found, [&](const Interface& i) { return !is_usable(i, config_.interfaces); });
    interfaces_ = std::move(found);
    for (Family* family : {&v4_, &v6_}) {
        // The kernel forgets the membership of an interface that is gone.
        std::erase_if(family->joined, [&](unsigned index) {
            return std::ranges::none_of(interfaces_,
                                        [&](const Interface& i) { return i.index == index; });
        });
        for (const Interface& interface : interfaces_) join(*family, interface);
    }
}

void UdpLink::join(Family& family, const Interface& interface) {
    if (!family.shared || family.joined.contains(interface.index)) return;
    int result = -1;
    if (family.family == AF_INET && !interface.ipv4.empty()) {
        ip_mreqn request{};
        request.imr_multiaddr = ipv4(kGroup4);
        request.imr_ifindex = static_cast<int>(interface.index);
        result = ::setsockopt(family.shared.fd(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request,
                              sizeof request);
    } else if (family.family == AF_INET6 && interface.has_ipv6) {
        ipv6_mreq request{};
        request.ipv6mr_multiaddr = ipv6(kGroup6);
        request.ipv6mr_interface = interface.index;
        result = ::setsockopt(family.shared.fd(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &request,
                              sizeof request);
    }
    if (result == 0 || errno == EADDRINUSE) family.joined.insert(interface.index);
}

void UdpLink::announce(std::span<const std::byte> bytes) {
    rescan();
    for (const Interface& interface : interfaces_) {
        announce4(interface, bytes);
        announce6(interface, bytes);
    }
    for (const Endpoint& peer : peers_.endpoints(std::chrono::steady_clock::now())) {
        send(peer, bytes);
    }
}

void UdpLink::announce4(const Interface& interface, std::span<const std::byte> bytes) {
    if (!v4_.own || interface.ipv4.empty()) return;
    const in_addr from = ipv4(interface.ipv4.front().c_str());
    send_on(v4_.own.fd(), interface, from, address4(ipv4(kGroup4), config_.beacon_port), bytes);
    if ((interface.flags & IFF_LOOPBACK) != 0) return;
    for (const std::string& broadcast : interface.broadcast) {
        send_on(v4_.own.fd(), interface, from,
                address4(ipv4(broadcast.c_str()), config_.beacon_port), bytes);
    }
}

void UdpLink::announce6(const Interface& interface, std::span<const std::byte> bytes) {
    if (!v6_.own || !interface.has_ipv6) return;
    send_on(v6_.own.fd(), interface, std::nullopt,
            address6(ipv6(kGroup6), config_.beacon_port, interface.index), bytes);
}

void UdpLink::send(const Endpoint& to, std::span<const std::byte> bytes) {
    const auto address = to_address(to);
    if (!address) return;
    const Family& family = address->family() == AF_INET ? v4_ : v6_;
    if (!family.own) return;
    (void)::sendto(family.own.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                   address->get(), address->length);
}

std::optional<Datagram> UdpLink::receive() {
    const std::array<const Socket*, 4> sockets{&v4_.own, &v4_.shared, &v6_.own, &v6_.shared};
    for (std::size_t tried = 0; tried < sockets.size(); ++tried) {
        // In turns, so that a flood at one of them does not silence the others.
        const Socket& socket = *sockets[next_socket_++ % sockets.size()];
        if (!socket) continue;
        Address from;
        const ssize_t n = ::recvfrom(socket.fd(), buffer_.data(), buffer_.size(), MSG_DONTWAIT,
                                     from.get(), &from.length);
        // An ICMP error of an earlier datagram is reported here, once; it is no reason to stop
        // reading.
        if (n < 0) continue;
        auto endpoint = to_endpoint(from);
        if (!endpoint) endpoint = Endpoint{};
        return Datagram{std::move(*endpoint),
                        std::span(buffer_).first(static_cast<std::size_t>(n))};
    }
    return std::nullopt;
}

std::vector<int> UdpLink::descriptors() const {
    std::vector<int> all;
    for (const Family* family : {&v4_, &v6_}) {
        if (family->own) all.push_back(family->own.fd());
        if (family->shared) all.push_back(family->shared.fd());
    }
    return all;
}

std::vector<messages::Warning> UdpLink::warnings() const {
    std::vector<std::string> absent;
    for (const std::string& name : config_.interfaces) {
        if (config_.multicast && std::ranges::find(present_, name) == present_.end()) {
            absent.push_back(name);
        }
    }
    std::vector<messages::Warning> list;
    if (!absent.empty()) {
        list.push_back({"unknown-interface", messages::Severity::warning, "",
                        "cluster.interfaces names " + listed(absent) +
                            ", which this device does not have, or which is down",
                        "write one of " + listed(present_) +
                            ", or leave the setting out to use every real one"});
    }
    if (const auto names = peers_.unresolved(); !names.empty()) {
        list.push_back({"unresolved-peer", messages::Severity::warning, "",
                        "cluster.peers names " + listed(names) + ", for which no address is known",
                        "correct the name or write the address; it is looked up again every few "
                        "seconds"});
    }
    return list;
}

}  // namespace shoal::mesh::discovery
