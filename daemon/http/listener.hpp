// The listening socket.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/http/options.hpp"

namespace shoal::http {

class Listener {
  public:
    /// Throws HttpError with address, port and reason when it cannot listen.
    explicit Listener(const HttpOptions& options);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    int socket() const noexcept { return socket_; }
    std::uint16_t port() const noexcept { return port_; }
    /// The socket is closed by somebody else.
    void release() noexcept { socket_ = -1; }

  private:
    int socket_ = -1;
    std::uint16_t port_ = 0;
};

/// The address that a connection came to, and the one that it came from, as text; empty when it is
/// gone.
std::string local_address(int socket);
std::string peer_address(int socket);

}  // namespace shoal::http
