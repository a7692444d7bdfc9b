// Where devices knock that were invited: a socket that any key may connect to, as long as there is
// an invitation.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/joining/join_frames.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh {
class ZmqContext;
}

namespace shoal::mesh::joining {

/// Owned by one thread. Closed by its destruction.
class JoinDoor {
  public:
    /// Listens at `address` ("*" or a numeric one) on a free port.
    /// Throws std::runtime_error with the address when that fails.
    JoinDoor(ZmqContext& context, const std::string& address);
    ~JoinDoor();
    JoinDoor(const JoinDoor&) = delete;
    JoinDoor& operator=(const JoinDoor&) = delete;

    std::uint16_t port() const noexcept;
    int descriptor() const;

    /// Somebody whose key is proven, and what he says.
    struct Caller {
        std::string connection;  ///< for answer()
        PublicKey key{};
        std::string host;
        wire::DecodeResult<JoinFrame> frame;
    };
    /// The next one, or nothing.
    std::optional<Caller> receive();
    /// Whoever has gone, or does not read, gets nothing.
    void answer(const std::string& connection, const JoinFrame& frame) noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::mesh::joining
