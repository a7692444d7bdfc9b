#include "mesh/exchange/zmtp/seal.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "mesh/exchange/little_endian.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

constexpr std::size_t kBodyAt = kHeaderBytes + kCounterBytes;

unsigned char* raw(std::byte* bytes) noexcept {
    return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(const std::byte* bytes) noexcept {
    return reinterpret_cast<const unsigned char*>(bytes);
}

void require(int done) {
    if (done != 1) throw std::runtime_error("libcrypto cannot encrypt");
}

const EVP_CIPHER* algorithm(Cipher cipher) noexcept {
    switch (cipher) {
        case Cipher::aes_256_ocb:
            return EVP_aes_256_ocb();
        case Cipher::aes_256_gcm:
            return EVP_aes_256_gcm();
        case Cipher::chacha20_poly1305:
            return EVP_chacha20_poly1305();
        case Cipher::none:
            break;
    }
    return nullptr;
}

enum class Direction { open = 0, seal = 1 };

/// Nothing when libcrypto refuses the cipher.
CipherContextPtr make_context(Cipher cipher, Direction direction, const SealKey& key) noexcept {
    CipherContextPtr context(EVP_CIPHER_CTX_new());
    ERR_set_mark();
    const bool made =
        context && EVP_CipherInit_ex(context.get(), algorithm(cipher), nullptr, key.data(), nullptr,
                                     static_cast<int>(direction)) == 1;
    ERR_pop_to_mark();
    if (!made) context.reset();
    return context;
}

/// What libcrypto gives out at once is whole blocks.
constexpr std::size_t kBlock = 16;

// Four zero bytes and the counter.
std::array<unsigned char, 12> nonce_of(const std::byte* counter) noexcept {
    std::array<unsigned char, 12> nonce{};
    std::memcpy(nonce.data() + 4, counter, kCounterBytes);
    return nonce;
}

}  // namespace

const char* name_of(Cipher cipher) noexcept {
    switch (cipher) {
        case Cipher::none:
            return "none";
        case Cipher::aes_256_ocb:
            return "AES-256-OCB";
        case Cipher::aes_256_gcm:
            return "AES-256-GCM";
        case Cipher::chacha20_poly1305:
            return "ChaCha20-Poly1305";
    }
    return "unknown";
}

Ciphers offered_ciphers() noexcept {
    Ciphers offered = 0;
    for (const Cipher cipher :
         {Cipher::aes_256_ocb, Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
        if (make_context(cipher, Direction::seal, {})) offered = offered | only(cipher);
    }
    return offered;
}

Ciphers quick_ciphers() noexcept {
    const Ciphers offered = offered_ciphers();
    Ciphers quick = only(Cipher::chacha20_poly1305);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0) {
        quick = quick | only(Cipher::aes_256_ocb);
        quick = quick | only(Cipher::aes_256_gcm);
    }
#elif defined(__aarch64__)
    // Of OCB libcrypto has no pipelined form here.
    const unsigned long has = getauxval(AT_HWCAP);
    if ((has & HWCAP_AES) != 0 && (has & HWCAP_PMULL) != 0) {
        quick = quick | only(Cipher::aes_256_gcm);
    }
#endif
    quick &= offered;
    return quick != 0 ? quick : offered;
}

Cipher best_of(Ciphers ciphers) noexcept {
    for (const Cipher cipher :
         {Cipher::aes_256_ocb, Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
        if ((ciphers & only(cipher)) != 0) return cipher;
    }
    return Cipher::aes_256_gcm;
}

SealKey generate_seal_key() {
    SealKey key;
    randombytes_buf(key.data(), key.size());
    return key;
}

void CipherContext::operator()(evp_cipher_ctx_st* context) const noexcept {
    EVP_CIPHER_CTX_free(context);  // wipes the key
}

Sealer::Sealer(const SealKey& key, Cipher cipher, std::uint64_t counter)
    : context_(make_context(cipher, Direction::seal, key)), cipher_(cipher), counter_(counter) {
    if (!context_) throw std::runtime_error(std::string("libcrypto refuses ") + name_of(cipher));
}

void Sealer::begin(std::span<const std::byte> frame, std::span<std::byte> out) {
    frame_ = frame;
    out_ = out;
    done_ = kHeaderBytes;
    std::memcpy(out.data(), frame.data(), kHeaderBytes);
    out[kSealAt] = static_cast<std::byte>(cipher_);
    put(out.data() + kHeaderBytes, counter_++);
    int length = 0;
    require(EVP_EncryptInit_ex(context_.get(), nullptr, nullptr, nullptr,
                               nonce_of(out.data() + kHeaderBytes).data()));
    require(EVP_EncryptUpdate(context_.get(), nullptr, &length, raw(out.data()), kHeaderBytes));
}

std::size_t Sealer::go_on(std::size_t most) {
    const std::size_t left = frame_.size() - done_;
    const bool last = left <= most;
    const std::size_t size = last ? left : most / kBlock * kBlock;
    std::byte* out = out_.data() + kCounterBytes + done_;
    int length = 0;
    if (size != 0) {
        require(EVP_EncryptUpdate(context_.get(), raw(out), &length, raw(frame_.data() + done_),
                                  static_cast<int>(size)));
    }
    done_ += size;
    if (!last) return kCounterBytes + done_;
    require(EVP_EncryptFinal_ex(context_.get(), raw(out + length), &length));
    std::byte* tag = out_.data() + kCounterBytes + done_;
    require(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag));
    return out_.size();
}

Opener::Opener(const SealKey& key, std::uint64_t counter) : key_(key), counter_(counter) {}

Opener::~Opener() {
    sodium_memzero(key_.data(), key_.size());
}

bool Opener::begin(std::span<std::byte> sealed) {
    if (sealed.size() < kBodyAt + kTagBytes) return false;
    const auto cipher = static_cast<Cipher>(sealed[kSealAt]);
    if (algorithm(cipher) == nullptr) return false;
    const std::uint64_t counter = get<std::uint64_t>(sealed.data() + kHeaderBytes);
    if (counter < counter_ || counter + 1 == 0) return false;
    if (cipher_ != cipher) {
        context_ = make_context(cipher, Direction::open, key_);
        cipher_ = context_ ? cipher : Cipher::none;
        if (!context_) return false;
    }
    counter_ = counter + 1;
    int length = 0;
    require(EVP_DecryptInit_ex(context_.get(), nullptr, nullptr, nullptr,
                               nonce_of(sealed.data() + kHeaderBytes).data()));
    require(EVP_DecryptUpdate(context_.get(), nullptr, &length, raw(sealed.data()), kHeaderBytes));
    done_ = kBodyAt;
    return true;
}

bool Opener::go_on(std::span<std::byte> sealed, std::size_t there) {
    if (there < kBodyAt) return true;
    if (done_ == 0 && !begin(sealed)) return false;
    // Whole blocks, and the rest with the last bytes.
    const std::size_t whole = kBodyAt + (sealed.size() - kTagBytes - kBodyAt) / kBlock * kBlock;
    const std::size_t end = there >= whole ? whole : kBodyAt + (there - kBodyAt) / kBlock * kBlock;
    if (end > done_) {
        int length = 0;
        std::byte* at = sealed.data() + done_;
        require(EVP_DecryptUpdate(context_.get(), raw(at), &length, raw(at),
                                  static_cast<int>(end - done_)));
        done_ = end;
    }
    return true;
}

std::optional<std::span<std::byte>> Opener::finish(std::span<std::byte> sealed) {
    // One that is too short to be a frame was never begun.
    if (done_ == 0 || sealed.size() - kTagBytes - done_ >= kBlock) return std::nullopt;
    std::byte* const tag = sealed.data() + sealed.size() - kTagBytes;
    std::byte* rest = sealed.data() + done_;
    done_ = 0;
    int length = 0;
    if (rest != tag) {
        require(EVP_DecryptUpdate(context_.get(), raw(rest), &length, raw(rest),
                                  static_cast<int>(tag - rest)));
    }
    require(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag));
    if (EVP_DecryptFinal_ex(context_.get(), raw(rest + length), &length) != 1) return std::nullopt;
    // The frame as it was before: its header goes to where the payload begins.
    std::memmove(sealed.data() + kCounterBytes, sealed.data(), kHeaderBytes);
    const auto frame = sealed.subspan(kCounterBytes, sealed.size() - kSealBytes);
    frame[kSealAt] = std::byte{0};
    return frame;
}

}  // namespace shoal::mesh::exchange::zmtp
