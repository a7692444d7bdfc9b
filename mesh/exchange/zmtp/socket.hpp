// TCP sockets of the data plane.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace shoal::mesh::exchange::zmtp {

/// Owns a descriptor, of a socket that does not block.
class Socket {
  public:
    Socket() = default;
    explicit Socket(int descriptor) noexcept : descriptor_(descriptor) {}
    ~Socket();
    Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    int descriptor() const noexcept { return descriptor_; }
    explicit operator bool() const noexcept { return descriptor_ >= 0; }

  private:
    int descriptor_ = -1;
};

/// Throws std::invalid_argument unless start_connecting() takes it.
void check_endpoint(const std::string& endpoint);
/// "tcp://10.77.0.2:4711" or "tcp://[fe80::1%eth0]:4711". Connects in the background: writable when
/// that has ended, and then error_of() says how.
/// Throws std::invalid_argument when the endpoint is none, std::system_error when there is no
/// socket; nothing when the address cannot be reached now.
Socket start_connecting(const std::string& endpoint);
/// Throws std::runtime_error with the address, when nobody can listen there. `host` is an address,
/// an interface's name or "*".
Socket listen_at(const std::string& host, std::uint16_t port);
std::uint16_t port_of(const Socket& listener);
/// The next connection that waits, or none, for the reason in errno.
Socket accept_from(const Socket& listener) noexcept;
/// 0, or the errno of what went wrong on it.
int error_of(const Socket& socket) noexcept;

}  // namespace shoal::mesh::exchange::zmtp
