#include "mesh/exchange/zmtp/noise.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "tests/exchange/zmtp/bytes.hpp"

namespace shoal::mesh::testing::noise_test {

using namespace exchange::zmtp;

namespace {

NoiseKey key_of(std::string_view digits) {
    const Bytes bytes = from_hex(digits);
    REQUIRE(bytes.size() == sizeof(NoiseKey));
    NoiseKey key;
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = std::to_integer<std::uint8_t>(bytes[i]);
    return key;
}

NoiseKeyPair pair_of(std::string_view secret) {
    NoiseKeyPair pair;
    pair.secret_key = key_of(secret);
    REQUIRE(crypto_scalarmult_base(pair.public_key.data(), pair.secret_key.data()) == 0);
    return pair;
}

/// Two devices that know each other, and a handshake of theirs.
struct Two {
    Two() { REQUIRE(sodium_init() >= 0); }
    NoiseKeyPair initiator = generate_noise_keys(), responder = generate_noise_keys();
    Bytes prologue = bytes("prologue");

    NoiseKK first() const { return {true, initiator, responder.public_key, prologue}; }
    NoiseKK second() const { return {false, responder, initiator.public_key, prologue}; }
};

struct Done {
    NoiseKK::Channels initiator, responder;
};
Done shake(const Two& two) {
    NoiseKK first = two.first(), second = two.second();
    REQUIRE(second.read(first.write(bytes("one"))) == bytes("one"));
    REQUIRE(first.read(second.write(bytes("two"))) == bytes("two"));
    return {first.channels(), second.channels()};
}

}  // namespace

TEST_SUITE_BEGIN("noise");

// Noise_KK_25519_ChaChaPoly_SHA256 of the vectors that the implementations of Noise share.
TEST_CASE("the messages are those of the public test vector") {
    REQUIRE(sodium_init() >= 0);
    const NoiseKeyPair initiator =
        pair_of("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
    const NoiseKeyPair responder =
        pair_of("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893");
    CHECK(initiator.public_key ==
          key_of("6bc3822a2aa7f4e6981d6538692b3cdf3e6df9eea6ed269eb41d93c22757b75a"));
    CHECK(responder.public_key ==
          key_of("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"));
    const Bytes prologue = from_hex("4a6f686e2047616c74");
    NoiseKK first(true, initiator, responder.public_key, prologue,
                  pair_of("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"));
    NoiseKK second(false, responder, initiator.public_key, prologue,
                   pair_of("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"));

    const Bytes hello = from_hex("4c756477696720766f6e204d69736573");
    const Bytes one = first.write(hello);
    CHECK(one == from_hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                          "0177015efc1fe7a37c629af7120a96274e6ab7afcc9261901d0e09ae32a5bb96"));
    CHECK(second.read(one) == hello);
    const Bytes welcome = from_hex("4d757272617920526f746862617264");
    const Bytes two = second.write(welcome);
    CHECK(two == from_hex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                          "b274d3429adc47ca093ba63ef90f8da89fda108db471dccfa4894aa7b00003"));
    CHECK(first.read(two) == welcome);

    auto a = first.channels(), b = second.channels();
    const auto travels = [](NoiseChannel& from, NoiseChannel& to, std::string_view payload,
                            std::string_view sealed) {
        const Bytes message = from.seal(from_hex(payload));
        CHECK(message == from_hex(sealed));
        CHECK(to.open(message) == from_hex(payload));
    };
    travels(a.send, b.receive, "462e20412e20486179656b",
            "966b05bc69ec01b8454d3160a214e6f24a3d884eb31ec2408af63f");
    travels(b.send, a.receive, "4361726c204d656e676572",
            "0ad887fba4f611bbb4afe44ba3556b8164332ca7d5934634d63d80");
    travels(a.send, b.receive, "4a65616e2d426170746973746520536179",
            "012b28ae646ae7830e2c5472cb023eab071c1db3d8413ec69b513b83832f974c2d");
    travels(b.send, a.receive, "457567656e2042f6686d20766f6e2042617765726b",
            "bb3e6a48160d9c5971d37f975727294e0d868342db31832e54d07191ab0ca3c3703b5ed3d9");
}

TEST_CASE("payloads of every length travel, none at all as well") {
    const Two two;
    for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 1000u}) {
        CAPTURE(size);
        NoiseKK first = two.first(), second = two.second();
        const Bytes payload(size, std::byte{7});
        const Bytes message = first.write(payload);
        CHECK(message.size() == size + kNoiseMessageBytes);
        CHECK(second.read(message) == payload);
        const Bytes answer = second.write(payload);
        CHECK(answer.size() == size + kNoiseMessageBytes);
        CHECK(first.read(answer) == payload);
        auto a = first.channels(), b = second.channels();
        CHECK(b.receive.open(a.send.seal(payload)) == payload);
    }
}

TEST_CASE("two handshakes have nothing in common") {
    const Two two;
    CHECK(two.first().write({}) != two.first().write({}));
    Done one = shake(two), other = shake(two);
    const Bytes sealed = one.initiator.send.seal(bytes("secret"));
    CHECK_FALSE(other.responder.receive.open(sealed));
    CHECK(one.responder.receive.open(sealed) == bytes("secret"));
    CHECK_FALSE(one.initiator.receive.open(sealed));  // nor have both directions
}

TEST_CASE("a first message is of the holder of the key for the holder of the key alone") {
    const Two two;
    const NoiseKeyPair stranger = generate_noise_keys();
    const Bytes prologue = two.prologue;
    const NoiseKey i = two.initiator.public_key, r = two.responder.public_key;

    NoiseKK impostor(true, stranger, r, prologue);
    CHECK_FALSE(two.second().read(impostor.write({})));
    // Who knows the initiator's public key, and not the secret one.
    NoiseKK liar(true, {i, stranger.secret_key}, r, prologue);
    CHECK_FALSE(two.second().read(liar.write({})));
    NoiseKK not_for_us(true, two.initiator, stranger.public_key, prologue);
    CHECK_FALSE(two.second().read(not_for_us.write({})));
    NoiseKK expects_another(false, two.responder, stranger.public_key, prologue);
    CHECK_FALSE(expects_another.read(two.first().write({})));
    NoiseKK of_another_protocol(true, two.initiator, r, bytes("another"));
    CHECK_FALSE(two.second().read(of_another_protocol.write({})));
}

TEST_CASE("an answer is of the holder of the key that was called, to this very call") {
    const Two two;
    const NoiseKeyPair stranger = generate_noise_keys();
    NoiseKK first = two.first();
    const Bytes hello = first.write({});
    // It cannot read the hello, and answers all the same.
    NoiseKK impostor(false, {two.responder.public_key, stranger.secret_key},
                     two.initiator.public_key, two.prologue);
    (void)impostor.read(hello);
    CHECK_FALSE(first.read(impostor.write({})));

    NoiseKK again = two.first(), second = two.second();
    REQUIRE(second.read(two.first().write({})));
    (void)again.write({});
    CHECK_FALSE(again.read(second.write({})));
}

TEST_CASE("a flipped bit anywhere ends a handshake") {
    const Two two;
    const NoiseKeyPair ephemeral = generate_noise_keys();
    const auto begin = [&] {
        auto again = std::make_unique<NoiseKK>(true, two.initiator, two.responder.public_key,
                                               two.prologue, ephemeral);
        Bytes message = again->write(bytes("abc"));
        return std::pair(std::move(again), std::move(message));
    };
    NoiseKK second = two.second();
    const Bytes hello = begin().second;
    for (std::size_t bit = 0; bit < 8 * hello.size(); ++bit) {
        CAPTURE(bit);
        CHECK_FALSE(two.second().read(flipped(hello, bit)));
    }
    REQUIRE(second.read(hello));
    const Bytes welcome = second.write(bytes("abc"));
    for (std::size_t bit = 0; bit < 8 * welcome.size(); ++bit) {
        CAPTURE(bit);
        CHECK_FALSE(begin().first->read(flipped(welcome, bit)));
    }
    CHECK(begin().first->read(welcome));
}

TEST_CASE("a message that is too short is refused") {
    const Two two;
    const Bytes hello = two.first().write(bytes("abc"));
    for (std::size_t size = 0; size < hello.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(two.second().read(std::span(hello).first(size)));
    }
}

// Points of small order: whatever the secret key is, the agreement with them is zero, and everybody
// would know the session's key. The highest bit of a point says nothing.
TEST_CASE("public keys of low order are refused") {
    const Two two;
    for (int i = 0; i < 14; ++i) {
        constexpr std::string_view kLow[] = {
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        };
        CAPTURE(i);
        NoiseKey low = key_of(kLow[i / 2]);
        if (i % 2 == 1) low.back() |= 0x80;
        NoiseKK calls(true, two.initiator, low, two.prologue);
        CHECK_THROWS_AS((void)calls.write({}), std::invalid_argument);
        NoiseKK answers(false, two.responder, low, two.prologue);
        CHECK_FALSE(answers.read(two.first().write({})));
        // As the new key of a message, by one who could then make the rest of it.
        Bytes hello = two.first().write({});
        std::copy_n(std::as_bytes(std::span(low)).begin(), low.size(), hello.begin());
        CHECK_FALSE(two.second().read(hello));
        NoiseKK first = two.first();
        (void)first.write({});
        CHECK_FALSE(first.read(hello));
    }
}

TEST_CASE("a channel's messages open once, and in their order") {
    Done done = shake(Two{});
    NoiseChannel &send = done.initiator.send, receive = done.responder.receive;
    const Bytes one = send.seal(bytes("one")), two = send.seal(bytes("two"));
    {
        NoiseChannel early = receive;
        CHECK_FALSE(early.open(two));
    }
    CHECK(receive.open(one) == bytes("one"));
    {
        NoiseChannel again = receive;
        CHECK_FALSE(again.open(one));
        CHECK_FALSE(again.open(two));  // of no use any more
    }
    CHECK(receive.open(two) == bytes("two"));
}

TEST_CASE("a flipped bit, a missing byte or something else beside it spoils a channel's message") {
    Done done = shake(Two{});
    const Bytes sealed = done.initiator.send.seal(bytes("text"), bytes("beside"));
    const auto opens = [&](std::span<const std::byte> message, std::string_view beside) {
        NoiseChannel receive = done.responder.receive;
        return receive.open(message, bytes(beside)).has_value();
    };
    for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
        CAPTURE(bit);
        CHECK_FALSE(opens(flipped(sealed, bit), "beside"));
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(opens(std::span(sealed).first(size), "beside"));
    }
    CHECK_FALSE(opens(sealed, "besides"));
    CHECK_FALSE(opens(sealed, ""));
    CHECK(opens(sealed, "beside"));
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::noise_test
