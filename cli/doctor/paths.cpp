// Pings, as an ordinary user may send them, and by which interface they leave.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>

#include "cli/doctor/facts.hpp"
#include "mesh/discovery/interfaces.hpp"

namespace shoal::cli::doctor {
namespace {

using Clock = std::chrono::steady_clock;
using mesh::discovery::Interface;

constexpr std::size_t kMaxPaths = 32;
constexpr std::uint16_t kPings = 40;
constexpr auto kBetween = std::chrono::milliseconds(10);
constexpr auto kLastWait = std::chrono::milliseconds(500);
constexpr std::uint16_t kAnyPort = 9;
constexpr std::uint8_t kEcho6 = 128, kEchoReply6 = 129;

/// An address as text, of either family, with a port that nobody looks at.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    bool v6() const { return storage.ss_family == AF_INET6; }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address parse(const std::string& text) {
    Address address;
    const auto v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    const auto v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    const auto zone = text.find('%');
    if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(kAnyPort);
        address.size = sizeof *v4;
    } else if (inet_pton(AF_INET6, text.substr(0, zone).c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(kAnyPort);
        if (zone != std::string::npos) {
            v6->sin6_scope_id = if_nametoindex(text.c_str() + zone + 1);
        }
        address.size = sizeof *v6;
    }
    return address;
}

/// By the address from which the system would send there; empty: not known.
std::string interface_to(const Address& to, const std::vector<Interface>& interfaces) {
    if (to.v6()) {
        std::array<char, IF_NAMESIZE> name{};
        const auto scope = reinterpret_cast<const sockaddr_in6*>(&to.storage)->sin6_scope_id;
        return if_indextoname(scope, name.data()) == nullptr ? "" : name.data();
    }
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return "";
    sockaddr_in own{};
    socklen_t size = sizeof own;
    const bool known = connect(fd, to.get(), to.size) == 0 &&
                       getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0;
    close(fd);
    std::array<char, INET_ADDRSTRLEN> text{};
    if (!known || inet_ntop(AF_INET, &own.sin_addr, text.data(), text.size()) == nullptr) return "";
    for (const Interface& interface : interfaces) {
        if (std::ranges::count(interface.ipv4, text.data()) != 0) return interface.name;
    }
    return "";
}

/// Echo requests to one address. The system gives each socket a number of its own, so that answers
/// of others do not arrive here.
class Pinger {
  public:
    explicit Pinger(const Address& to)
        : v6_(to.v6()),
          fd_(socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     to.v6() ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP))) {
        if (fd_ >= 0 && connect(fd_, to.get(), to.size) != 0) {
            close(fd_);
            fd_ = -1;
        }
    }
    ~Pinger() {
        if (fd_ >= 0) close(fd_);
    }
    Pinger(const Pinger&) = delete;
    Pinger& operator=(const Pinger&) = delete;

    void send(std::uint16_t number) {
        if (fd_ < 0) return;
        icmphdr packet{};
        packet.type = v6_ ? kEcho6 : static_cast<std::uint8_t>(ICMP_ECHO);
        packet.un.echo.sequence = htons(number);
        sent_[number] = Clock::now();
        // One that cannot be sent is lost, as one on its way.
        [[maybe_unused]] const auto size = ::send(fd_, &packet, sizeof packet, 0);
    }
    void receive() {
        icmphdr packet{};
        while (fd_ >= 0 && recv(fd_, &packet, sizeof packet, 0) == sizeof packet) {
            const std::uint16_t number = ntohs(packet.un.echo.sequence);
            const bool reply = packet.type == (v6_ ? kEchoReply6 : ICMP_ECHOREPLY);
            if (!reply || number >= kPings || answered_[number]) continue;
            answered_[number] = true;
            times_.push_back(Clock::now() - sent_[number]);
        }
    }
    int descriptor() const noexcept { return fd_; }
    void tell(Path& path) {
        if (fd_ < 0) return;
        path.asked = kPings;
        path.answered = static_cast<std::uint32_t>(times_.size());
        if (times_.empty()) return;
        std::ranges::sort(times_);
        path.median_ms =
            std::chrono::duration<double, std::milli>(times_[times_.size() / 2]).count();
    }

  private:
    bool v6_;
    int fd_;
    std::array<Clock::time_point, kPings> sent_{};
    std::array<bool, kPings> answered_{};
    std::vector<Clock::duration> times_;
};

void receive_until(std::vector<std::unique_ptr<Pinger>>& pingers, Clock::time_point end) {
    std::vector<pollfd> polled;
    for (const auto& pinger : pingers) polled.push_back({pinger->descriptor(), POLLIN, 0});
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (left.count() <= 0) return;
        poll(polled.data(), polled.size(), static_cast<int>(left.count()));
        for (const auto& pinger : pingers) pinger->receive();
    }
}

}  // namespace

std::vector<Path> try_paths(const mesh::messages::StatusReply& status) {
    std::vector<Path> paths;
    std::vector<std::unique_ptr<Pinger>> pingers;
    const auto interfaces = mesh::discovery::list_interfaces();
    for (const auto& device : status.devices) {
        if (device.self || !device.alive || paths.size() == kMaxPaths) continue;
        const Address to = parse(device.address);
        if (to.size == 0) continue;
        Path& path = paths.emplace_back();
        path.device = device.name.empty() ? device.id.substr(0, 8) : device.name;
        path.address = device.address;
        path.median_ms = device.round_trip_ms;
        path.interface = interface_to(to, interfaces);
        const auto at = std::ranges::find(interfaces, path.interface, &Interface::name);
        path.virtual_interface = at != interfaces.end() && !mesh::discovery::is_usable(*at, {});
        pingers.push_back(std::make_unique<Pinger>(to));
    }
    if (pingers.empty()) return paths;
    for (std::uint16_t number = 0; number < kPings; ++number) {
        for (const auto& pinger : pingers) pinger->send(number);
        receive_until(pingers, Clock::now() + kBetween);
    }
    receive_until(pingers, Clock::now() + kLastWait);
    for (std::size_t i = 0; i < paths.size(); ++i) pingers[i]->tell(paths[i]);
    return paths;
}

}  // namespace shoal::cli::doctor
