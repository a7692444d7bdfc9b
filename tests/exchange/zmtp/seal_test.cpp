#include "mesh/exchange/zmtp/seal.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "mesh/exchange/frame.hpp"
#include "tests/exchange/pattern.hpp"
#include "tests/exchange/zmtp/bytes.hpp"
#include "tests/exchange/zmtp/strict_libcrypto.hpp"

namespace shoal::mesh::testing::seal_test {

using namespace exchange::zmtp;
using exchange::kHeaderBytes;
using exchange::kSealAt;

namespace {

using Data = std::vector<std::byte>;
constexpr std::size_t kAtOnce = ~std::size_t{0} / 2;

/// A frame as lock-step makes it, with a payload of so many bytes.
Data frame_of(std::size_t payload) {
    exchange::FrameHeader header;
    header.plan = {{7, {}}, 3};
    header.from = 2;
    header.op = 99;
    header.length = static_cast<std::uint32_t>(payload);
    Data frame(kHeaderBytes);
    encode(header, std::span<std::byte, kHeaderBytes>(frame.data(), frame.size()));
    append(frame, pattern(2, 99, payload));
    return frame;
}

Data seal(Sealer& sealer, std::span<const std::byte> frame, std::size_t piece = kAtOnce) {
    Data out(frame.size() + kSealBytes);
    sealer.begin(frame, out);
    std::size_t ready = 0;
    while (ready < out.size()) {
        const std::size_t now = sealer.go_on(piece);
        REQUIRE(now > ready);
        ready = now;
    }
    return out;
}

/// As the bytes come, `piece` at a time; nothing when it is refused.
std::optional<Data> open(Opener& opener, Data sealed, std::size_t piece = kAtOnce) {
    for (std::size_t there = 0; there < sealed.size();) {
        there += std::min(piece, sealed.size() - there);
        if (!opener.go_on(sealed, there)) return std::nullopt;
    }
    const auto frame = opener.finish(sealed);
    if (!frame) return std::nullopt;
    return Data(frame->begin(), frame->end());
}

bool opens(const SealKey& key, std::uint64_t counter, const Data& sealed) {
    Opener opener(key, counter);
    return open(opener, sealed).has_value();
}

SealKey new_key() {
    REQUIRE(sodium_init() >= 0);
    return generate_seal_key();
}

constexpr Cipher kCiphers[] = {Cipher::aes_256_ocb, Cipher::aes_256_gcm, Cipher::chacha20_poly1305};

/// Around the borders of blocks, and of the pieces that a port seals at a time.
std::vector<std::size_t> sizes() {
    std::vector<std::size_t> all;
    for (std::size_t size = 0; size <= 100; ++size) all.push_back(size);
    for (const std::size_t border : {4096u, 32u << 10, 64u << 10}) {
        for (const int off : {-17, -16, -15, -1, 0, 1, 15, 16, 17}) all.push_back(border + off);
    }
    return all;
}

}  // namespace

TEST_SUITE_BEGIN("seal");

TEST_CASE("what is sealed opens to the same frame, of every size and by every cipher") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        Sealer sealer(key, cipher, 5);
        Opener opener(key, 5);
        std::uint64_t counter = 5;
        for (const std::size_t size : sizes()) {
            CAPTURE(size);
            const Data frame = frame_of(size);
            CHECK(sealer.counter() == counter++);
            const Data sealed = seal(sealer, frame);
            CHECK(sealed.size() == frame.size() + kSealBytes);
            CHECK(open(opener, sealed) == frame);
            CHECK(opener.cipher() == cipher);
            // The topic stays readable, and the payload does not.
            CHECK(
                std::equal(sealed.begin(), sealed.begin() + exchange::kTopicBytes, frame.begin()));
            if (size < 16) continue;
            CHECK(std::search(sealed.begin(), sealed.end(), frame.begin() + kHeaderBytes,
                              frame.begin() + kHeaderBytes + 16) == sealed.end());
        }
    }
}

TEST_CASE("in pieces, sealing and opening give the same as at once") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 31u, 32u, 33u, 100u, 1000u}) {
            CAPTURE(size);
            const Data frame = frame_of(size);
            Sealer at_once(key, cipher, 7);
            const Data sealed = seal(at_once, frame);
            for (const std::size_t piece : {16u, 17u, 31u, 32u, 48u, 100u, 1000u}) {
                CAPTURE(piece);
                Sealer sealer(key, cipher, 7);
                CHECK(seal(sealer, frame, piece) == sealed);
            }
            for (const std::size_t piece : {1u, 2u, 7u, 16u, 17u, 55u, 56u, 57u, 72u, 1000u}) {
                CAPTURE(piece);
                Opener opener(key, 7);
                CHECK(open(opener, sealed, piece) == frame);
            }
        }
        const Data frame = frame_of(70001);
        Sealer sealer(key, cipher, 0);
        Opener opener(key, 0);
        CHECK(open(opener, seal(sealer, frame, 32 << 10), 1400) == frame);
    }
}

TEST_CASE("no byte that was said to be final changes afterwards") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        const Data frame = frame_of(333);
        Sealer sealer(key, cipher, 0);
        Data out(frame.size() + kSealBytes, std::byte{0xee});
        sealer.begin(frame, out);
        Data sent;
        while (sent.size() < out.size()) {
            const std::size_t ready = sealer.go_on(50);
            append(sent, std::span(out).subspan(sent.size(), ready - sent.size()));
        }
        CHECK(sent == out);
        Opener opener(key, 0);
        CHECK(open(opener, sent) == frame);
    }
}

// Another implementation of the same AEADs reads what was written, so what is authenticated, the
// nonce and the order of the parts are what seal.hpp says.
TEST_CASE("libsodium opens what was sealed") {
    const SealKey key = new_key();
    const Data frame = frame_of(1234);
    for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
        if (cipher == Cipher::aes_256_gcm && crypto_aead_aes256gcm_is_available() == 0) continue;
        CAPTURE(name_of(cipher));
        Sealer sealer(key, cipher, 0x0102030405060708);
        const Data sealed = seal(sealer, frame);
        Data header(frame.begin(), frame.begin() + kHeaderBytes);
        header[kSealAt] = static_cast<std::byte>(cipher);
        const unsigned char nonce[12] = {0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
        const auto raw = [](const std::byte* at) {
            return reinterpret_cast<const unsigned char*>(at);
        };
        CHECK(std::equal(header.begin(), header.end(), sealed.begin()));
        CHECK(std::memcmp(sealed.data() + kHeaderBytes, nonce + 4, kCounterBytes) == 0);
        Data plain(1234);
        const auto decrypt = cipher == Cipher::aes_256_gcm
                                 ? crypto_aead_aes256gcm_decrypt
                                 : crypto_aead_chacha20poly1305_ietf_decrypt;
        const std::size_t at = kHeaderBytes + kCounterBytes;
        CHECK(decrypt(reinterpret_cast<unsigned char*>(plain.data()), nullptr, nullptr,
                      raw(sealed.data() + at), sealed.size() - at, raw(header.data()),
                      header.size(), nonce, key.data()) == 0);
        CHECK(plain == pattern(2, 99, 1234));
    }
}

TEST_CASE("a flipped bit of header, counter, body or tag is refused") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        for (const std::size_t size : {0u, 1u, 40u}) {
            CAPTURE(size);
            Sealer sealer(key, cipher, 1000);
            const Data sealed = seal(sealer, frame_of(size));
            REQUIRE(opens(key, 0, sealed));
            for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
                CAPTURE(bit);
                Opener opener(key, 0);
                CHECK_FALSE(open(opener, flipped(sealed, bit), bit % 30 + 1));
            }
        }
    }
}

TEST_CASE("a frame that was cut, or to which something was added, is refused") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        Sealer sealer(key, cipher, 0);
        Data sealed = seal(sealer, frame_of(40));
        for (std::size_t size = 0; size < sealed.size(); ++size) {
            CAPTURE(size);
            CHECK_FALSE(opens(key, 0, Data(sealed.begin(), sealed.begin() + size)));
            CHECK_FALSE(opens(key, 0, Data(sealed.end() - size, sealed.end())));
        }
        for (int more = 0; more < 40; ++more) {
            sealed.push_back(std::byte{0});
            CHECK_FALSE(opens(key, 0, sealed));
        }
    }
}

TEST_CASE("a frame is taken once, and none that was overtaken") {
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        Sealer sealer(key, cipher, 0);
        std::vector<Data> sealed;
        for (std::size_t i = 0; i < 5; ++i) sealed.push_back(seal(sealer, frame_of(i)));
        Opener opener(key, 0);
        CHECK(open(opener, sealed[1]) == frame_of(1));
        CHECK_FALSE(open(opener, sealed[1]));
        CHECK_FALSE(open(opener, sealed[0]));
        CHECK(open(opener, sealed[3]) == frame_of(3));  // one that got lost does not matter
        CHECK_FALSE(open(opener, sealed[2]));
        CHECK_FALSE(open(opener, sealed[3]));
        CHECK(open(opener, sealed[4]) == frame_of(4));
    }
}

TEST_CASE("nothing from before the first counter is taken") {
    const SealKey key = new_key();
    Sealer sealer(key, Cipher::chacha20_poly1305, 10);
    const Data sealed = seal(sealer, frame_of(5));
    CHECK_FALSE(opens(key, 11, sealed));
    CHECK(opens(key, 10, sealed));
    CHECK(opens(key, 9, sealed));
}

TEST_CASE("the last counter is not used, so that there is always a next one") {
    const SealKey key = new_key();
    Sealer sealer(key, Cipher::chacha20_poly1305, ~std::uint64_t{0} - 1);
    const Data last = seal(sealer, frame_of(5)), beyond = seal(sealer, frame_of(5));
    Opener opener(key, 0);
    CHECK(open(opener, last));
    CHECK_FALSE(open(opener, beyond));
}

TEST_CASE("a frame of another key is refused") {
    const SealKey key = new_key(), other = new_key();
    CHECK(key != other);
    for (const Cipher cipher : kCiphers) {
        CAPTURE(name_of(cipher));
        Sealer sealer(other, cipher, 0);
        const Data sealed = seal(sealer, frame_of(100));
        CHECK_FALSE(opens(key, 0, sealed));
        CHECK(opens(other, 0, sealed));
        SealKey almost = other;
        almost[31] ^= 1;
        CHECK_FALSE(opens(almost, 0, sealed));
    }
}

TEST_CASE("a frame that names no cipher, or an unknown one, is refused") {
    const SealKey key = new_key();
    Sealer sealer(key, Cipher::aes_256_gcm, 0);
    Data sealed = seal(sealer, frame_of(100));
    for (unsigned cipher = 0; cipher < 256; ++cipher) {
        CAPTURE(cipher);
        sealed[kSealAt] = static_cast<std::byte>(cipher);
        CHECK(opens(key, 0, sealed) == (cipher == unsigned{2}));
    }
    CHECK_FALSE(opens(key, 0, frame_of(0)));
    CHECK_FALSE(opens(key, 0, frame_of(100)));
}

TEST_CASE("a sender may change its cipher") {
    const SealKey key = new_key();
    Opener opener(key, 0);
    std::uint64_t counter = 0;
    for (int round = 0; round < 2; ++round) {
        for (const Cipher cipher : kCiphers) {
            Sealer sealer(key, cipher, counter++);
            CHECK(open(opener, seal(sealer, frame_of(50))) == frame_of(50));
            CHECK(opener.cipher() == cipher);
        }
    }
}

TEST_CASE("the best cipher is the quickest that all have") {
    const Ciphers chacha = only(Cipher::chacha20_poly1305), gcm = only(Cipher::aes_256_gcm),
                  ocb = only(Cipher::aes_256_ocb);
    CHECK(best_of(chacha) == Cipher::chacha20_poly1305);
    CHECK(best_of(chacha | gcm) == Cipher::aes_256_gcm);
    CHECK(best_of(chacha | ocb) == Cipher::aes_256_ocb);
    CHECK(best_of(chacha | gcm | ocb) == Cipher::aes_256_ocb);
    CHECK(best_of(0) == Cipher::aes_256_gcm);
    // What another device says is not what this one knows.
    CHECK(best_of(static_cast<Ciphers>(~(gcm | ocb))) == Cipher::chacha20_poly1305);
    CHECK(best_of(static_cast<Ciphers>(~(gcm | ocb | chacha))) == Cipher::aes_256_gcm);
}

TEST_CASE("a cipher that libcrypto refuses is not offered, and its frames do not open") {
    const SealKey key = new_key();
    for (const Cipher given : kCiphers) {
        CAPTURE(name_of(given));
        const StrictLibcrypto strict(name_of(given));
        CHECK(offered_ciphers() == only(given));
        // Of no quick ones, those that there are.
        CHECK(quick_ciphers() == only(given));
        Sealer sealer(key, given, 0);
        CHECK(opens(key, 0, seal(sealer, frame_of(50))));
        for (const Cipher refused : kCiphers) {
            if (refused == given) continue;
            CHECK_THROWS_WITH_AS(Sealer(key, refused, 0),
                                 (std::string("libcrypto refuses ") + name_of(refused)).c_str(),
                                 std::runtime_error);
        }
    }
}

TEST_CASE("a frame in a refused cipher is not valid, and the next ones are as if it were not") {
    const SealKey key = new_key();
    std::vector<Data> sealed;
    for (std::uint64_t counter = 0; counter < 4; ++counter) {
        const bool refused = counter % 2 != 0;
        Sealer sealer(key, refused ? Cipher::chacha20_poly1305 : Cipher::aes_256_gcm, counter);
        sealed.push_back(seal(sealer, frame_of(50)));
    }
    const StrictLibcrypto strict("AES-256-GCM");
    Opener opener(key, 0);
    CHECK(open(opener, sealed[0]) == frame_of(50));
    CHECK_FALSE(open(opener, sealed[1]));
    CHECK(opener.cipher() == Cipher::none);
    CHECK(open(opener, sealed[2]) == frame_of(50));
    CHECK_FALSE(open(opener, sealed[3]));
}

TEST_CASE("a libcrypto that refuses everything offers nothing") {
    {
        const StrictLibcrypto strict(nullptr);
        CHECK(offered_ciphers() == 0);
        CHECK(quick_ciphers() == 0);
    }
    CHECK(offered_ciphers() == (only(Cipher::aes_256_ocb) | only(Cipher::aes_256_gcm) |
                                only(Cipher::chacha20_poly1305)));
}

TEST_CASE("every device has a quick cipher, and can use all that it calls quick") {
    const Ciphers quick = quick_ciphers();
    CHECK((quick & only(Cipher::chacha20_poly1305)) != 0);
    CHECK((quick & only(Cipher::none)) == 0);
    const SealKey key = new_key();
    for (const Cipher cipher : kCiphers) {
        if ((quick & only(cipher)) == 0) continue;
        Sealer sealer(key, cipher, 0);
        CHECK(opens(key, 0, seal(sealer, frame_of(10))));
    }
    for (const Cipher cipher : kCiphers) CHECK(std::string(name_of(cipher)).size() > 10);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::seal_test
