#include "mesh/exchange/zmtp/noise.hpp"

#include <sodium.h>

#include <cstring>
#include <stdexcept>

namespace shoal::mesh::exchange::zmtp {

namespace {

constexpr char kProtocol[] = "Noise_KK_25519_ChaChaPoly_SHA256";
static_assert(sizeof kProtocol - 1 == std::tuple_size_v<NoiseKey>);  // so it is its own hash

const std::uint8_t* raw(std::span<const std::byte> bytes) noexcept {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
std::uint8_t* raw_of(Bytes& bytes) noexcept {
    return reinterpret_cast<std::uint8_t*>(bytes.data());
}
std::span<const std::byte> bytes_of(const NoiseKey& key) noexcept {
    return std::as_bytes(std::span(key));
}

// Four zero bytes and the counter, little-endian, as the specification says for ChaChaPoly.
std::array<std::uint8_t, 12> nonce_of(std::uint64_t n) noexcept {
    std::array<std::uint8_t, 12> nonce{};
    for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(n >> (8 * i));
    return nonce;
}

Bytes encrypt(const NoiseKey& key, std::uint64_t n, std::span<const std::byte> associated,
              std::span<const std::byte> plain) {
    Bytes sealed(plain.size() + kNoiseTagBytes);
    crypto_aead_chacha20poly1305_ietf_encrypt(raw_of(sealed), nullptr, raw(plain), plain.size(),
                                              raw(associated), associated.size(), nullptr,
                                              nonce_of(n).data(), key.data());
    return sealed;
}

std::optional<Bytes> decrypt(const NoiseKey& key, std::uint64_t n,
                             std::span<const std::byte> associated,
                             std::span<const std::byte> sealed) {
    if (sealed.size() < kNoiseTagBytes) return std::nullopt;
    Bytes plain(sealed.size() - kNoiseTagBytes);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(raw_of(plain), nullptr, nullptr, raw(sealed),
                                                  sealed.size(), raw(associated), associated.size(),
                                                  nonce_of(n).data(), key.data()) != 0) {
        return std::nullopt;
    }
    return plain;
}

NoiseKey hmac(const NoiseKey& key, std::span<const std::uint8_t> first,
              std::span<const std::uint8_t> second = {}) noexcept {
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key.data(), key.size());
    crypto_auth_hmacsha256_update(&state, first.data(), first.size());
    crypto_auth_hmacsha256_update(&state, second.data(), second.size());
    NoiseKey out;
    crypto_auth_hmacsha256_final(&state, out.data());
    sodium_memzero(&state, sizeof state);
    return out;
}

struct Derived {
    NoiseKey first, second;
};

// HKDF with two outputs (section 4.3 of the specification).
Derived derive(const NoiseKey& chain, std::span<const std::uint8_t> input) noexcept {
    const NoiseKey secret = hmac(chain, input);
    constexpr std::uint8_t kOne[] = {1}, kTwo[] = {2};
    Derived out;
    out.first = hmac(secret, kOne);
    out.second = hmac(secret, out.first, kTwo);
    return out;
}

}  // namespace

NoiseKeyPair generate_noise_keys() {
    NoiseKeyPair pair;
    crypto_box_keypair(pair.public_key.data(), pair.secret_key.data());
    return pair;
}

NoiseChannel::~NoiseChannel() {
    sodium_memzero(key_.data(), key_.size());
}

Bytes NoiseChannel::seal(std::span<const std::byte> payload,
                         std::span<const std::byte> associated) {
    return encrypt(key_, n_++, associated, payload);
}

std::optional<Bytes> NoiseChannel::open(std::span<const std::byte> message,
                                        std::span<const std::byte> associated) {
    return decrypt(key_, n_++, associated, message);
}

NoiseKK::NoiseKK(bool initiator, const NoiseKeyPair& self, const NoiseKey& peer,
                 std::span<const std::byte> prologue, const NoiseKeyPair& ephemeral)
    : initiator_(initiator), self_(self), peer_(peer), ephemeral_(ephemeral) {
    std::memcpy(hash_.data(), kProtocol, hash_.size());
    chain_ = hash_;
    mix_hash(prologue);
    mix_hash(bytes_of(initiator_ ? self_.public_key : peer_));
    mix_hash(bytes_of(initiator_ ? peer_ : self_.public_key));
}

NoiseKK::~NoiseKK() {
    for (NoiseKey* secret : {&self_.secret_key, &ephemeral_.secret_key, &chain_, &key_}) {
        sodium_memzero(secret->data(), secret->size());
    }
}

void NoiseKK::mix_hash(std::span<const std::byte> bytes) noexcept {
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, hash_.data(), hash_.size());
    crypto_hash_sha256_update(&state, raw(bytes), bytes.size());
    crypto_hash_sha256_final(&state, hash_.data());
}

// False when the other's key is one with which every secret key agrees on the same.
bool NoiseKK::mix_key(const NoiseKey& secret, const NoiseKey& theirs) noexcept {
    NoiseKey shared;
    if (crypto_scalarmult(shared.data(), secret.data(), theirs.data()) != 0) return false;
    const Derived derived = derive(chain_, shared);
    chain_ = derived.first;
    key_ = derived.second;
    sodium_memzero(shared.data(), shared.size());
    return true;
}

// "-> e, es, ss": the initiator's new key with the responder's static one, then both static ones.
bool NoiseKK::mix_first() noexcept {
    mix_hash(bytes_of(initiator_ ? ephemeral_.public_key : peer_ephemeral_));
    return (initiator_ ? mix_key(ephemeral_.secret_key, peer_)
                       : mix_key(self_.secret_key, peer_ephemeral_)) &&
           mix_key(self_.secret_key, peer_);
}

// "<- e, ee, se": both new keys, then the initiator's static one with the responder's new one.
bool NoiseKK::mix_second() noexcept {
    mix_hash(bytes_of(initiator_ ? peer_ephemeral_ : ephemeral_.public_key));
    return mix_key(ephemeral_.secret_key, peer_ephemeral_) &&
           (initiator_ ? mix_key(self_.secret_key, peer_ephemeral_)
                       : mix_key(ephemeral_.secret_key, peer_));
}

Bytes NoiseKK::write(std::span<const std::byte> payload) {
    if (!(initiator_ ? mix_first() : mix_second())) {
        throw std::invalid_argument("the other device's public key is none");
    }
    Bytes sealed = encrypt(key_, 0, bytes_of(hash_), payload);
    mix_hash(sealed);
    const auto ephemeral = bytes_of(ephemeral_.public_key);
    sealed.insert(sealed.begin(), ephemeral.begin(), ephemeral.end());
    return sealed;
}

std::optional<Bytes> NoiseKK::read(std::span<const std::byte> message) {
    if (message.size() < kNoiseMessageBytes) return std::nullopt;
    std::memcpy(peer_ephemeral_.data(), message.data(), peer_ephemeral_.size());
    if (!(initiator_ ? mix_second() : mix_first())) return std::nullopt;
    const auto sealed = message.subspan(peer_ephemeral_.size());
    auto payload = decrypt(key_, 0, bytes_of(hash_), sealed);
    if (payload) mix_hash(sealed);
    return payload;
}

NoiseKK::Channels NoiseKK::channels() const {
    const Derived derived = derive(chain_, {});
    const NoiseChannel forth(derived.first), back(derived.second);
    return initiator_ ? Channels{forth, back} : Channels{back, forth};
}

}  // namespace shoal::mesh::exchange::zmtp
