#include "mesh/discovery/udp_link.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

namespace udp_link_test {

using namespace shoal::mesh::discovery;
using namespace std::chrono_literals;

namespace {

/// A stranger's socket on the loopback.
class Stranger {
  public:
    Stranger() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        const sockaddr_in any = loopback(0);
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0);
    }
    ~Stranger() { ::close(fd_); }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;

    std::uint16_t port() const {
        sockaddr_in address{};
        socklen_t length = sizeof address;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
        return ntohs(address.sin_port);
    }
    /// The port that the next datagram comes from.
    std::uint16_t hear() const {
        char byte = 0;
        sockaddr_in from{};
        socklen_t length = sizeof from;
        REQUIRE(::recvfrom(fd_, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &length) == 1);
        return ntohs(from.sin_port);
    }
    void send(std::uint16_t port, std::string_view text) const {
        const sockaddr_in to = loopback(port);
        REQUIRE(::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                         sizeof to) == static_cast<ssize_t>(text.size()));
    }

  private:
    static sockaddr_in loopback(std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }
    int fd_;
};

}  // namespace

TEST_SUITE("udp link") {
    TEST_CASE("a flood at one socket does not keep the others unread") {
        UdpConfig config;
        config.beacon_port = static_cast<std::uint16_t>(41000 + ::getpid() % 5000);
        config.multicast = false;
        UdpLink link(config);
        const Stranger stranger;
        link.send({"127.0.0.1", stranger.port()}, std::array{std::byte{1}});
        const std::uint16_t own = stranger.hear();
        for (int i = 0; i < 50; ++i) stranger.send(own, "flood");
        stranger.send(config.beacon_port, "a beacon");
        std::this_thread::sleep_for(50ms);
        bool heard = false;
        for (int i = 0; i < 4; ++i) {
            const auto datagram = link.receive();
            heard = heard || (datagram && datagram->bytes.size() == 8);
        }
        CHECK(heard);
        int rest = 0;
        while (link.receive()) ++rest;
        CHECK(rest > 40);
    }

    TEST_CASE("interfaces and names that lead nowhere are told of, others not") {
        UdpConfig config;
        config.beacon_port = static_cast<std::uint16_t>(41000 + ::getpid() % 5000);
        config.interfaces = {"lo", "no-such-if"};
        // A numeric address needs no look-up; ".invalid" is reserved for names that never exist.
        config.peers = {"127.0.0.1", "nobody.invalid"};
        UdpLink link(config);
        const auto find = [&](std::string_view name) {
            std::string text;
            for (const auto& warning : link.warnings()) {
                if (warning.name == name) text = warning.text;
                CHECK_FALSE(warning.remedy.empty());
            }
            return text;
        };
        CHECK(find("unknown-interface").find("no-such-if") != std::string::npos);
        CHECK(find("unknown-interface").find("lo,") == std::string::npos);
        CHECK(find("unresolved-peer").empty());  // Not looked up yet.
        std::string text;
        for (int i = 0; i < 1000 && text.empty(); ++i) {
            link.announce({});
            text = find("unresolved-peer");
            std::this_thread::sleep_for(20ms);
        }
        CHECK(text.find("nobody.invalid") != std::string::npos);
        CHECK(text.find("127.0.0.1") == std::string::npos);

        config.interfaces = {"lo"};
        config.peers = {"127.0.0.1"};
        config.beacon_port = static_cast<std::uint16_t>(config.beacon_port + 20);
        UdpLink good(config);
        good.announce({});
        CHECK(good.warnings().empty());
    }
}

}  // namespace udp_link_test
