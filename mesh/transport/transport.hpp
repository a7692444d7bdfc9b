// Bytes between authenticated devices: what membership and the daemon need of a network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/wire/control.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::transport {

/// What a transport has to report.
struct Incoming {
    enum class Kind : std::uint8_t {
        message,
        broken,  ///< the connection to the device was cut; the transport tries again
    };
    Kind kind = Kind::message;
    DeviceId from;                     ///< as authenticated by its key; zero: nobody
    std::span<const std::byte> bytes;  ///< valid until the next receive()
};

/// The control channel's connections. Owned by one thread.
class Transport {
  public:
    virtual ~Transport() = default;

    /// Opens a connection to the device that holds the secret half of `key`, and lets it connect
    /// to us. Nothing that arrives later tells whether that worked: membership finds out.
    /// False when the address is unusable or a limit is reached.
    [[nodiscard]] virtual bool connect(const DeviceId& id, const PublicKey& key,
                                       const std::string& host, std::uint16_t port) = 0;
    /// Closes it and refuses the device from now on. What is queued on the membership lane still
    /// gets a moment to leave, the rest is dropped.
    virtual void disconnect(const DeviceId& id, const PublicKey& key) noexcept = 0;
    /// Queues `header` and `body` as one message. False when the device is not connected or the
    /// lane's queue is full. Copies the bytes once.
    [[nodiscard]] virtual bool send(const DeviceId& to, wire::Lane lane,
                                    std::span<const std::byte> header,
                                    std::span<const std::byte> body) = 0;
    /// The next thing that arrived, or nothing.
    virtual std::optional<Incoming> receive() = 0;
    /// Descriptors that become readable when receive() may have something.
    virtual std::vector<int> descriptors() const = 0;
};

}  // namespace shoal::mesh::transport
