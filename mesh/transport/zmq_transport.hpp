// The control channel over ZeroMQ.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mesh/transport/transport.hpp"

namespace shoal::mesh {
class ZmqContext;
}

namespace shoal::mesh::transport {

/// Messages queued per device on each lane before send() fails.
inline constexpr int kMembershipQueue = 256;
inline constexpr int kSmallQueue = 256;
inline constexpr int kBulkQueue = 4;
/// Messages received and not read yet, per connection; beyond it the sender waits.
inline constexpr int kReceiveQueue = 8;
/// How long a farewell may take to leave after disconnect().
inline constexpr int kFarewellMs = 100;

/// One ROUTER receives from everybody; one DEALER per device and lane sends. Lanes are separate
/// connections, so heartbeats never stand behind bulk data in a queue. Owned by one thread.
class ZmqTransport : public Transport {
  public:
    /// Listens at `address` ("*" or a numeric address); port 0 takes any free one.
    /// Throws std::runtime_error with address and port when that fails.
    ZmqTransport(ZmqContext& context, const std::string& address, std::uint16_t port);
    ~ZmqTransport() override;
    ZmqTransport(const ZmqTransport&) = delete;
    ZmqTransport& operator=(const ZmqTransport&) = delete;

    std::uint16_t port() const noexcept;

    bool connect(const DeviceId& id, const PublicKey& key, const std::string& host,
                 std::uint16_t port) override;
    void disconnect(const DeviceId& id, const PublicKey& key) noexcept override;
    bool send(const DeviceId& to, wire::Lane lane, std::span<const std::byte> header,
              std::span<const std::byte> body) override;
    std::optional<Incoming> receive() override;
    std::vector<int> descriptors() const override;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// "tcp://host:port", with brackets around an IPv6 address.
std::string tcp_endpoint(const std::string& host, const std::string& port);

}  // namespace shoal::mesh::transport
