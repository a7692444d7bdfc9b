// Beacons over UDP.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mesh/discovery/beacon_link.hpp"
#include "mesh/discovery/interfaces.hpp"
#include "mesh/discovery/static_peers.hpp"
#include "mesh/messages/warning.hpp"

namespace shoal::mesh::discovery {

/// Groups that announcements go to; administratively scoped, and link-local.
inline constexpr char kGroup4[] = "239.255.71.74";
inline constexpr char kGroup6[] = "ff02::7368:6f61";

struct UdpConfig {
    std::uint16_t beacon_port = 0;
    bool multicast = true;
    std::vector<std::string> interfaces;  ///< only these; empty: every real one
    std::vector<std::string> peers;
};

/// For IPv4 and IPv6 each, two sockets. One listens at the beacon port, shared by all daemons of
/// the machine: multicast and broadcast reach each of them, while a unicast datagram reaches one.
/// The other is this daemon's own: everything is sent from it, so answers come back to it.
/// It takes the first free of the kOwnPorts ports behind the beacon port, so that a firewall can
/// be opened for them, or any other. Owned by one thread.
class UdpLink : public BeaconLink {
  public:
    static constexpr std::uint16_t kOwnPorts = 16;
    /// Between looks for interfaces that came or went.
    static constexpr std::chrono::seconds kRescan{3};

    /// Throws std::runtime_error with the port when neither family's sockets can be bound, or when
    /// a peer is malformed.
    explicit UdpLink(const UdpConfig& config);
    ~UdpLink() override;
    UdpLink(const UdpLink&) = delete;
    UdpLink& operator=(const UdpLink&) = delete;

    void announce(std::span<const std::byte> bytes) override;
    void send(const Endpoint& to, std::span<const std::byte> bytes) override;
    std::optional<Datagram> receive() override;
    std::vector<int> descriptors() const override;
    /// What of the configuration leads nowhere; the device is left empty.
    std::vector<messages::Warning> warnings() const;

  private:
    class Socket {
      public:
        Socket() = default;
        explicit Socket(int family);
        ~Socket();
        Socket(Socket&& other) noexcept;
        Socket& operator=(Socket&& other) noexcept;
        explicit operator bool() const noexcept { return fd_ >= 0; }
        int fd() const noexcept { return fd_; }
        void option(int level, int name, int value) const;
        bool bind(int family, std::uint16_t port) const;

      private:
        int fd_ = -1;
    };
    struct Family {
        int family = 0;
        Socket shared, own;
        std::set<unsigned> joined;  ///< interfaces whose group we are in
    };

    void open(Family& family, std::uint16_t port);
    void rescan();
    void join(Family& family, const Interface& interface);
    void announce4(const Interface& interface, std::span<const std::byte> bytes);
    void announce6(const Interface& interface, std::span<const std::byte> bytes);

    UdpConfig config_;
    StaticPeers peers_;
    Family v4_, v6_;
    std::vector<Interface> interfaces_;
    std::vector<std::string> present_;  ///< names of all interfaces that are up
    std::chrono::steady_clock::time_point next_scan_{};
    std::size_t next_socket_ = 0;          ///< whose turn it is in receive()
    std::array<std::byte, 512> buffer_{};  ///< a longer datagram is no beacon
};

}  // namespace shoal::mesh::discovery
