// Sealing of frames: encrypted and authenticated once, for every device of the plan.
//
//   sealed frame = header counter ciphertext tag
//
// The header stays readable (its first bytes are the ZeroMQ topic) and is authenticated; its
// reserved byte names the cipher. The counter, 8 octets little-endian, is the nonce: a sender uses
// each one once, and a receiver takes only one that is higher than the last, so a frame that was
// repeated, or overtaken by a later one, is not valid. AEAD of RFC 5116, by libcrypto.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "mesh/exchange/frame.hpp"

struct evp_cipher_ctx_st;

namespace shoal::mesh::exchange::zmtp {

/// The quickest first, where a CPU has instructions for AES.
enum class Cipher : std::uint8_t {
    none = 0,
    aes_256_ocb = 1,  ///< RFC 7253; one pass, as quick as AES itself where libcrypto pipelines it
    aes_256_gcm = 2,  ///< NIST SP 800-38D
    chacha20_poly1305 = 3,  ///< RFC 8439; needs no instructions of its own
};

/// "AES-256-GCM".
const char* name_of(Cipher cipher) noexcept;

/// Ciphers, as bits.
using Ciphers = std::uint8_t;
constexpr Ciphers only(Cipher cipher) noexcept {
    return static_cast<Ciphers>(1u << static_cast<unsigned>(cipher));
}
/// Those that libcrypto gives out; as it is configured, it may refuse some (FIPS mode does).
Ciphers offered_ciphers() noexcept;
/// Of these, those that are quick on this CPU; all of them when none is. ChaCha20-Poly1305 always
/// is quick. AES without instructions for it is slow, and its time tells of the key.
Ciphers quick_ciphers() noexcept;
/// The best of them. Of none, AES-256-GCM: no libcrypto lacks it, whatever it refuses.
Cipher best_of(Ciphers ciphers) noexcept;

using SealKey = std::array<std::uint8_t, 32>;
/// Random. Requires: libsodium was started.
SealKey generate_seal_key();

inline constexpr std::size_t kCounterBytes = 8, kTagBytes = 16;
/// What a sealed frame is longer than the frame.
inline constexpr std::size_t kSealBytes = kCounterBytes + kTagBytes;

/// Free by itself.
struct CipherContext {
    void operator()(evp_cipher_ctx_st* context) const noexcept;
};
using CipherContextPtr = std::unique_ptr<evp_cipher_ctx_st, CipherContext>;

/// Seals one frame after the other, each piece by piece, so that a long one is on its way before
/// all of it is encrypted. Throws std::runtime_error when libcrypto fails, or, to begin with,
/// refuses the cipher. Externally synchronised.
class Sealer {
  public:
    Sealer(const SealKey& key, Cipher cipher, std::uint64_t counter);

    /// Begins a frame: `out` gets header and counter. Requires: out has frame.size() + kSealBytes.
    void begin(std::span<const std::byte> frame, std::span<std::byte> out);
    /// Encrypts up to `most` more bytes and, behind the last one, puts the tag; returns how much of
    /// `out` is final. Requires: most >= 16.
    std::size_t go_on(std::size_t most);
    Cipher cipher() const noexcept { return cipher_; }
    /// The next frame's counter.
    std::uint64_t counter() const noexcept { return counter_; }

  private:
    CipherContextPtr context_;
    Cipher cipher_;
    std::uint64_t counter_;
    std::span<const std::byte> frame_;
    std::span<std::byte> out_;
    std::size_t done_ = 0;  // of frame_
};

/// Opens the frames of one connection, in place and as their bytes come.
class Opener {
  public:
    /// No counter below `counter` is valid.
    Opener(const SealKey& key, std::uint64_t counter);
    ~Opener();
    Opener(const Opener&) = delete;
    Opener& operator=(const Opener&) = delete;

    /// Decrypts what is there of a frame, the first `there` bytes of `sealed`. False when it can
    /// be none, however it goes on, or libcrypto refuses its cipher. Call it with more each time,
    /// from the first call of a frame to the one with all of it.
    [[nodiscard]] bool go_on(std::span<std::byte> sealed, std::size_t there);
    /// When all is there: where in `sealed` the frame is, or nothing when it was not made by who
    /// has the key, or not for this place. Then no byte of it may be believed.
    std::optional<std::span<std::byte>> finish(std::span<std::byte> sealed);

    Cipher cipher() const noexcept { return cipher_; }

  private:
    [[nodiscard]] bool begin(std::span<std::byte> sealed);

    SealKey key_;
    CipherContextPtr context_;
    Cipher cipher_ = Cipher::none;
    std::uint64_t counter_;  // the least that is valid
    std::size_t done_ = 0;   // of the sealed frame
};

}  // namespace shoal::mesh::exchange::zmtp
