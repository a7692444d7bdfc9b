// What two ends of a new connection say before the first frame: who they are and how they encrypt.
// Two security mechanisms of ZMTP: NULL, which every ZeroMQ peer speaks, and SHOAL, which
// SEALING.md describes. A state machine: bytes in, bytes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "mesh/exchange/zmtp/noise.hpp"
#include "mesh/exchange/zmtp/seal.hpp"
#include "mesh/exchange/zmtp/wire.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh {
class ZmqContext;
}

namespace shoal::mesh::exchange::zmtp {

/// The longest command of a handshake.
inline constexpr std::size_t kMaxHandshakeBytes = 1024;

/// What a finished handshake says of the other end.
struct Introduction {
    std::uint8_t minor = 1;                           ///< of the version of ZMTP that both speak, 3
    DeviceId peer;                                    ///< proved, with `secure`; else nothing
    Ciphers quick = only(Cipher::chacha20_poly1305);  ///< those that are quick there
    std::optional<NoiseKK::Channels> secure;          ///< nothing with NULL
};

class Handshake {
  public:
    enum class State : std::uint8_t { going_on, done, failed };

    /// A publisher answers whoever connects and is allowed, a subscriber connects to the device
    /// with key `publisher`. Without `security` the mechanism is NULL. It outlives the handshake.
    static Handshake of_publisher(const ZmqContext* security);
    static Handshake of_subscriber(const ZmqContext* security, const PublicKey& publisher);

    /// Takes in what came, and says how many of the bytes are used: those after the handshake are
    /// the connection's.
    State take(std::span<const std::byte> in, std::size_t& used);
    /// What is to be sent; it is the caller's then.
    Bytes output() { return std::exchange(output_, {}); }

    const std::string& why() const noexcept { return why_; }  ///< when it failed
    /// Requires: done.
    Introduction introduction() { return std::move(introduction_); }

  private:
    Handshake(bool publisher, const ZmqContext* security, const PublicKey& peer);

    State state() const noexcept { return state_; }
    void fail(std::string why);
    void greeted(const Greeting& greeting);
    void on_command(const Command& command);
    void on_ready(std::span<const std::byte> properties);
    void on_hello(std::span<const std::byte> hello);
    void on_welcome(std::span<const std::byte> welcome);

    bool publisher_;
    const ZmqContext* security_;
    PublicKey peer_;
    State state_ = State::going_on;
    bool has_greeted_ = false;
    std::unique_ptr<NoiseKK> noise_;
    Bytes output_;
    std::string why_;
    Introduction introduction_;
};

}  // namespace shoal::mesh::exchange::zmtp
