// The Noise handshake of two devices that know each other's public keys, and the two one-way
// channels that come of it.
//
// Noise_KK_25519_ChaChaPoly_SHA256, of "The Noise Protocol Framework", revision 34
// (noiseprotocol.org/noise.html). KK proves each side's static key to the other and mixes in a new
// key pair of each side, so that what is recorded today cannot be read with a key stolen tomorrow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace shoal::mesh::exchange::zmtp {

using Bytes = std::vector<std::byte>;
using NoiseKey = std::array<std::uint8_t, 32>;

/// What a message of the handshake or of a channel is longer than its payload.
inline constexpr std::size_t kNoiseTagBytes = 16;
inline constexpr std::size_t kNoiseMessageBytes = 32 + kNoiseTagBytes;

struct NoiseKeyPair {
    NoiseKey public_key{};
    NoiseKey secret_key{};
};

/// A new one. Requires: libsodium was started.
NoiseKeyPair generate_noise_keys();

/// One direction after the handshake: its n-th message can be opened as the n-th one alone.
class NoiseChannel {
  public:
    NoiseChannel() = default;
    explicit NoiseChannel(const NoiseKey& key) noexcept : key_(key) {}
    ~NoiseChannel();
    NoiseChannel(const NoiseChannel&) = default;
    NoiseChannel& operator=(const NoiseChannel&) = default;

    /// `associated` is authenticated and not part of the message.
    Bytes seal(std::span<const std::byte> payload, std::span<const std::byte> associated = {});
    /// Nothing when it is not the next message of the other side. The channel is of no use then.
    std::optional<Bytes> open(std::span<const std::byte> message,
                              std::span<const std::byte> associated = {});

  private:
    NoiseKey key_{};
    std::uint64_t n_ = 0;
};

/// Both messages of the handshake, from one side: the initiator writes the first and reads the
/// second, the responder the other way round. Externally synchronised.
class NoiseKK {
  public:
    /// `prologue` is what both must agree on besides the keys. `ephemeral` is used for this
    /// handshake alone; given by tests, else new.
    NoiseKK(bool initiator, const NoiseKeyPair& self, const NoiseKey& peer,
            std::span<const std::byte> prologue,
            const NoiseKeyPair& ephemeral = generate_noise_keys());
    ~NoiseKK();
    NoiseKK(const NoiseKK&) = delete;
    NoiseKK& operator=(const NoiseKK&) = delete;

    /// This side's message. Throws std::invalid_argument when the other's key is none.
    Bytes write(std::span<const std::byte> payload);
    /// The payload of the other side's message, or nothing when that was not made by the holder of
    /// its key for the holder of ours. A handshake that failed goes no further.
    std::optional<Bytes> read(std::span<const std::byte> message);

    struct Channels {
        NoiseChannel send, receive;
    };
    /// Requires: both messages are done.
    Channels channels() const;

  private:
    void mix_hash(std::span<const std::byte> bytes) noexcept;
    [[nodiscard]] bool mix_key(const NoiseKey& secret, const NoiseKey& theirs) noexcept;
    [[nodiscard]] bool mix_first() noexcept;
    [[nodiscard]] bool mix_second() noexcept;

    const bool initiator_;
    NoiseKeyPair self_;
    const NoiseKey peer_;
    NoiseKeyPair ephemeral_;
    NoiseKey peer_ephemeral_{};
    NoiseKey hash_{};   // "h": everything said so far
    NoiseKey chain_{};  // "ck": everything agreed on so far
    NoiseKey key_{};    // "k"
};

}  // namespace shoal::mesh::exchange::zmtp
