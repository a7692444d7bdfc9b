// The process's ZeroMQ context, and who may connect to its sockets.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mesh/wire/identity.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace shoal::mesh {

struct Identity;

/// I/O threads of the context. Bulk transfers on the control channel must not delay activations,
/// so each plane has its own.
inline constexpr int kDataIoThread = 0;
inline constexpr int kControlIoThread = 1;
inline constexpr int kIoThreads = 2;

/// Devices on the allow-list at one time.
inline constexpr std::size_t kMaxAllowed = 1024;

/// Settings common to every CURVE socket of the mesh; each socket may then change its own.
inline constexpr std::chrono::milliseconds kHandshakeTimeout{500};
inline constexpr std::chrono::milliseconds kReconnectInterval{10};
inline constexpr std::chrono::milliseconds kReconnectIntervalMax{500};
inline constexpr std::chrono::milliseconds kSendTimeout{100};
inline constexpr std::int64_t kMaxMessageBytes = 17 << 20;
/// Connections that the system keeps until they are accepted, so that a burst of them does not
/// make others wait for TCP's next try.
inline constexpr int kBacklog = 1024;

/// ZeroMQ context, ZAP handler and allow-list, shared by the control and the data plane.
/// A client whose key is not on the list is refused with status 300: its socket tries again, so
/// it gets in as soon as discovery has vouched for it.
///
/// Thread-safe, but for construction and destruction. All sockets of the context must be closed
/// before it is destroyed, or the destructor waits for them. Outlives every user.
class ZmqContext {
  public:
    struct Options {
        std::vector<int> cpus;  ///< CPUs for the context's own threads; empty: any
    };

    /// Throws std::runtime_error when libzmq lacks CURVE or cannot start.
    explicit ZmqContext(const Identity& identity) : ZmqContext(identity, Options{}) {}
    ZmqContext(const Identity& identity, const Options& options);
    ~ZmqContext();
    ZmqContext(const ZmqContext&) = delete;
    ZmqContext& operator=(const ZmqContext&) = delete;

    zmq::context_t& zmq() noexcept;
    const Identity& identity() const noexcept;

    /// Lets the holder of `key` connect to every server socket. False when kMaxAllowed is reached.
    [[nodiscard]] bool allow(const PublicKey& key);
    /// Refuses new connections; libzmq keeps those that exist.
    void revoke(const PublicKey& key) noexcept;
    bool is_allowed(const PublicKey& key) const noexcept;

    /// Makes a new socket a CURVE server that admits the allow-list only. Messages it receives
    /// carry the property "User-Id": the sender's DeviceId in hexadecimal digits.
    /// Requires: called before bind. Throws zmq::error_t when the socket is closed.
    void configure_server(zmq::socket_t& socket, int io_thread) const;
    /// The same for a socket that any key may connect to; "User-Id" is the sender's whole public
    /// key, in hexadecimal digits. Requires: called before bind. Throws as configure_server().
    void configure_open_server(zmq::socket_t& socket, int io_thread) const;
    /// Makes a new socket a CURVE client of the device with `server_key`; only that device can
    /// answer. Requires: called before connect. Throws zmq::error_t when the socket is closed.
    void configure_client(zmq::socket_t& socket, const PublicKey& server_key, int io_thread) const;

    /// The authenticated sender of a message received on a server socket, from its "User-Id".
    static std::optional<DeviceId> sender_of(const char* user_id) noexcept;

    /// Connections refused because their key was not allowed, since the start.
    std::uint64_t refused() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::mesh
