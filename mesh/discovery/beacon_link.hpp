// Datagrams to everyone near and to single devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace shoal::mesh::discovery {

/// An UDP address: a numeric host, with "%interface" for a link-local one, and a port.
struct Endpoint {
    std::string host;
    std::uint16_t port = 0;
    auto operator<=>(const Endpoint&) const = default;
};

struct Datagram {
    Endpoint from;
    std::span<const std::byte> bytes;  ///< valid until the next receive()
};

/// Owned by one thread. Datagrams may be lost; sending never fails loudly.
class BeaconLink {
  public:
    virtual ~BeaconLink() = default;
    /// To every device that the interfaces reach.
    virtual void announce(std::span<const std::byte> bytes) = 0;
    virtual void send(const Endpoint& to, std::span<const std::byte> bytes) = 0;
    virtual std::optional<Datagram> receive() = 0;
    virtual std::vector<int> descriptors() const = 0;
};

}  // namespace shoal::mesh::discovery
