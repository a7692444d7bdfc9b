#include "mesh/exchange/zmtp/socket.hpp"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "mesh/exchange/port_maker.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

/// With the 64 KiB that a window begins with, a frame of as many waits for the window to open.
constexpr int kRoomToReceive = 1 << 20;
/// How long bytes that we publish may wait for a device to take them. Its window closes while it
/// computes and frames come, and that is no fault: lock-step's silence limit ends plans, not this.
constexpr int kUnreadMs = 60'000;
/// The highest priority that needs no privilege: queues and switches that look at it let a step
/// pass what others send.
constexpr int kPriority = 6;

void set(int socket, int level, int option, int value) noexcept {
    // Each of them makes something better; without it things still work.
    (void)::setsockopt(socket, level, option, &value, sizeof value);
}

void set_options(int socket, int unacknowledged_ms) noexcept {
    set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    set(socket, SOL_SOCKET, SO_PRIORITY, kPriority);
    set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdle);
    set(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveInterval);
    set(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveCount);
    set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, unacknowledged_ms);
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// A numeric address; nullptr when it is none.
Addresses address_of(const std::string& host, const std::string& port, bool passive) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
    addrinfo* found = nullptr;
    const bool bracketed = host.size() > 1 && host.front() == '[' && host.back() == ']';
    const std::string bare = bracketed ? host.substr(1, host.size() - 2) : host;
    if (::getaddrinfo(bare.empty() ? nullptr : bare.c_str(), port.c_str(), &hints, &found) != 0) {
        found = nullptr;
    }
    return {found, &::freeaddrinfo};
}

/// The first IPv4 address of the interface, or else its first address; empty without one.
std::string address_of_interface(const std::string& name) {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(all, &::freeifaddrs);
    std::string best;
    for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || name != at->ifa_name) continue;
        const bool is_v4 = at->ifa_addr->sa_family == AF_INET;
        if (!is_v4 && (at->ifa_addr->sa_family != AF_INET6 || !best.empty())) continue;
        char text[NI_MAXHOST];
        if (::getnameinfo(at->ifa_addr, is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6), text,
                          sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) {
            continue;
        }
        best = text;
        if (is_v4) break;
    }
    return best;
}

/// getaddrinfo() takes no port for 0, and counts on beyond 65535 from 0.
bool is_port(std::string_view text) noexcept {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && port != 0;
}

Addresses address_of_endpoint(const std::string& endpoint) {
    constexpr std::string_view kScheme = "tcp://";
    const auto colon = endpoint.rfind(':');
    const bool whole = endpoint.starts_with(kScheme) && colon > kScheme.size() &&
                       is_port(std::string_view(endpoint).substr(colon + 1));
    auto address = whole ? address_of(endpoint.substr(kScheme.size(), colon - kScheme.size()),
                                      endpoint.substr(colon + 1), false)
                         : Addresses(nullptr, &::freeaddrinfo);
    if (!address) {
        throw std::invalid_argument("\"" + endpoint +
                                    "\" is no endpoint; it should be tcp://ADDRESS:PORT");
    }
    return address;
}

}  // namespace

Socket::~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void check_endpoint(const std::string& endpoint) {
    (void)address_of_endpoint(endpoint);
}

Socket start_connecting(const std::string& endpoint) {
    const auto address = address_of_endpoint(endpoint);
    Socket socket(
        ::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!socket) throw std::system_error(errno, std::system_category(), "cannot make a socket");
    set_options(socket.descriptor(), kUnacknowledgedMs);
    // Frames come from whom we call. Room for a long one from the start, which the system goes on
    // adapting, unlike SO_RCVBUF.
    set(socket.descriptor(), SOL_SOCKET, SO_RCVLOWAT, kRoomToReceive);
    set(socket.descriptor(), SOL_SOCKET, SO_RCVLOWAT, 1);
    if (::connect(socket.descriptor(), address->ai_addr, address->ai_addrlen) != 0 &&
        errno != EINPROGRESS) {
        return {};
    }
    return socket;
}

Socket listen_at(const std::string& host, std::uint16_t port) {
    const auto refuse = [&](const std::string& why) {
        return std::runtime_error("the data plane cannot listen on tcp://" + host + ":" +
                                  (port == 0 ? "*" : std::to_string(port)) + ": " + why);
    };
    const std::string number = std::to_string(port);
    // Any address: IPv6 sockets take both, where there is IPv6.
    auto address = host == "*" ? address_of("::", number, true) : address_of(host, number, true);
    if (!address) {
        const std::string of_interface = address_of_interface(host);
        if (!of_interface.empty()) address = address_of(of_interface, number, true);
    }
    if (!address) throw refuse("no such address or interface");
    const auto open = [&](const addrinfo& at) {
        Socket socket(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!socket) return socket;
        set(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, 1);
        if (at.ai_family == AF_INET6) {
            set(socket.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, host == "*" ? 0 : 1);
        }
        if (::bind(socket.descriptor(), at.ai_addr, at.ai_addrlen) != 0 ||
            ::listen(socket.descriptor(), kBacklog) != 0) {
            return Socket();
        }
        return socket;
    };
    Socket socket = open(*address);
    if (!socket && host == "*") {
        address = address_of("0.0.0.0", number, true);
        if (address) socket = open(*address);
    }
    if (!socket) throw refuse(std::strerror(errno));
    return socket;
}

std::uint16_t port_of(const Socket& listener) {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (::getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
        throw std::system_error(errno, std::system_category(), "cannot tell the port");
    }
    sockaddr_in in{};  // The port is at the same place for both families.
    std::memcpy(&in, &own, sizeof in);
    return ntohs(in.sin_port);
}

Socket accept_from(const Socket& listener) noexcept {
    Socket socket(::accept4(listener.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) set_options(socket.descriptor(), kUnreadMs);
    return socket;
}

int error_of(const Socket& socket) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

}  // namespace shoal::mesh::exchange::zmtp
