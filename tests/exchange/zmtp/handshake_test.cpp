#include "mesh/exchange/zmtp/handshake.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/exchange/zmtp/shake.hpp"

namespace shoal::mesh::testing::handshake_test {

using namespace exchange::zmtp;
using State = Handshake::State;

namespace {

Bytes greeting_of(std::string_view mechanism, std::uint8_t minor = 1) {
    const auto encoded = encode(Greeting{minor, std::string(mechanism), false});
    return {encoded.begin(), encoded.end()};
}

Bytes command(std::string_view name, std::span<const std::byte> data) {
    Bytes out;
    append_command(out, name, data);
    return out;
}

Bytes ready(std::string_view type, std::string_view property = "Socket-Type") {
    Bytes properties;
    append_property(properties, property, type);
    return command("READY", properties);
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// A publisher that has been greeted, and what it answers is taken away.
End greeted(const ZmqContext* security) {
    End publisher{Handshake::of_publisher(security)};
    CHECK(publisher.take(greeting_of(security != nullptr ? "SHOAL" : "NULL")) == State::going_on);
    (void)publisher.handshake.output();
    return publisher;
}

}  // namespace

TEST_SUITE_BEGIN("handshake");

TEST_CASE("in clear both ends are done, however their bytes are cut") {
    for (const std::size_t piece : {1u, 2u, 3u, 63u, 64u, 65u, 1000u}) {
        CAPTURE(piece);
        End publisher{Handshake::of_publisher(nullptr)};
        End subscriber{Handshake::of_subscriber(nullptr, {})};
        const auto state = shake_hands(publisher, subscriber, piece);
        CHECK(state.publisher == State::done);
        CHECK(state.subscriber == State::done);
        CHECK(publisher.in.empty());
        CHECK(subscriber.in.empty());
        CHECK_FALSE(publisher.handshake.introduction().secure);
        CHECK_FALSE(subscriber.handshake.introduction().secure);
    }
}

TEST_CASE("with security both ends know each other and have channels") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    for (const std::size_t piece : {1u, 2u, 3u, 63u, 64u, 65u, 1000u}) {
        CAPTURE(piece);
        End publisher{Handshake::of_publisher(&one.context)};
        End subscriber{Handshake::of_subscriber(&other.context, one.key())};
        const auto state = shake_hands(publisher, subscriber, piece);
        CHECK(state.publisher == State::done);
        CHECK(state.subscriber == State::done);
        auto here = publisher.handshake.introduction(), there = subscriber.handshake.introduction();
        CHECK(here.peer == other.identity.id);
        CHECK(there.peer == one.identity.id);
        CHECK(here.quick == quick_ciphers());
        CHECK(there.quick == quick_ciphers());
        REQUIRE(here.secure);
        REQUIRE(there.secure);
        CHECK(there.secure->receive.open(here.secure->send.seal(bytes("forth"))) == bytes("forth"));
        CHECK(here.secure->receive.open(there.secure->send.seal(bytes("back"))) == bytes("back"));
    }
}

TEST_CASE("what comes behind a handshake is left to the connection") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    for (const bool secure : {false, true}) {
        CAPTURE(secure);
        End publisher{Handshake::of_publisher(secure ? &one.context : nullptr)};
        End subscriber{Handshake::of_subscriber(secure ? &other.context : nullptr, one.key())};
        Bytes said = subscriber.handshake.output();
        CHECK(subscriber.take(publisher.handshake.output()) == State::going_on);
        append(said, subscriber.handshake.output());
        append(said, bytes("behind it"));
        CHECK(publisher.take(said) == State::done);
        CHECK(publisher.in == bytes("behind it"));
    }
}

TEST_CASE("two mechanisms do not meet, and what to do about it is said") {
    KeyHolder one;
    for (const bool secure : {false, true}) {
        CAPTURE(secure);
        End publisher{Handshake::of_publisher(secure ? &one.context : nullptr)};
        End subscriber{Handshake::of_subscriber(secure ? nullptr : &one.context, one.key())};
        const auto state = shake_hands(publisher, subscriber);
        CHECK(state.publisher == State::failed);
        CHECK(state.subscriber == State::failed);
        for (const std::string& why : {publisher.handshake.why(), subscriber.handshake.why()}) {
            CHECK(has(why, "NULL"));
            CHECK(has(why, "SHOAL"));
            CHECK(has(why, "cluster.encrypt"));
        }
    }
    End publisher{Handshake::of_publisher(&one.context)};
    CHECK(publisher.take(greeting_of("CURVE")) == State::failed);
    CHECK(has(publisher.handshake.why(), "CURVE"));
    CHECK(has(publisher.handshake.why(), "cluster.data_transport"));
}

TEST_CASE("a key that is not on the list gets no answer") {
    KeyHolder one, stranger;
    End publisher{Handshake::of_publisher(&one.context)};
    End subscriber{Handshake::of_subscriber(&stranger.context, one.key())};
    const auto state = shake_hands(publisher, subscriber);
    CHECK(state.publisher == State::failed);
    CHECK(has(publisher.handshake.why(), "not allowed"));
    CHECK(state.subscriber == State::going_on);
    // It may be a moment later.
    REQUIRE(one.context.allow(stranger.key()));
    End again{Handshake::of_publisher(&one.context)};
    End once_more{Handshake::of_subscriber(&stranger.context, one.key())};
    CHECK(shake_hands(again, once_more).publisher == State::done);
}

TEST_CASE("who names a key that it does not hold gets no answer") {
    KeyHolder one, other, thief;
    REQUIRE(one.context.allow(other.key()));
    Identity stolen = thief.identity;
    stolen.public_key = other.key();
    ZmqContext context(stolen);
    End publisher{Handshake::of_publisher(&one.context)};
    End subscriber{Handshake::of_subscriber(&context, one.key())};
    CHECK(shake_hands(publisher, subscriber).publisher == State::failed);
    CHECK(has(publisher.handshake.why(), "does not hold the key"));
}

TEST_CASE("a publisher that does not hold the key of the plan is refused") {
    KeyHolder one, other, third;
    REQUIRE(one.context.allow(other.key()));
    End publisher{Handshake::of_publisher(&one.context)};
    End subscriber{Handshake::of_subscriber(&other.context, third.key())};
    const auto state = shake_hands(publisher, subscriber);
    CHECK(state.publisher == State::failed);
    CHECK(state.subscriber == State::going_on);
    // Even if it answers with what it can make: its own welcome to a hello of its own.
    End honest{Handshake::of_publisher(&one.context)};
    End caller{Handshake::of_subscriber(&other.context, one.key())};
    (void)honest.take(caller.handshake.output());
    (void)caller.take(honest.handshake.output());
    (void)honest.take(caller.handshake.output());
    CHECK(subscriber.take(honest.handshake.output()) == State::failed);
    CHECK(has(subscriber.handshake.why(), "does not hold the key"));
}

TEST_CASE("a key of low order in a plan fails the handshake and nothing else") {
    KeyHolder one;
    End publisher{Handshake::of_publisher(&one.context)};
    End subscriber{Handshake::of_subscriber(&one.context, PublicKey{})};
    CHECK(shake_hands(publisher, subscriber).subscriber == State::failed);
    CHECK(has(subscriber.handshake.why(), "key"));
    REQUIRE(one.context.allow(PublicKey{}));
    End again = greeted(&one.context);
    CHECK(again.take(command("HELLO", Bytes(32 + 48 + 1))) == State::failed);
}

TEST_CASE("a hello that was replayed opens no channel") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    End publisher{Handshake::of_publisher(&one.context)};
    End subscriber{Handshake::of_subscriber(&other.context, one.key())};
    (void)publisher.take(subscriber.handshake.output());
    (void)subscriber.take(publisher.handshake.output());
    const Bytes hello = subscriber.handshake.output();
    REQUIRE(publisher.take(hello) == State::done);
    const Bytes first_welcome = publisher.handshake.output();
    REQUIRE(subscriber.take(first_welcome) == State::done);
    auto victim = subscriber.handshake.introduction();
    const Bytes said = victim.secure->send.seal(bytes("SUBSCRIBE"));

    End fooled = greeted(&one.context);
    REQUIRE(fooled.take(hello) == State::done);
    CHECK(fooled.handshake.output() != first_welcome);
    auto introduction = fooled.handshake.introduction();
    // What was recorded behind that hello is of no use, and what comes back cannot be read.
    CHECK_FALSE(introduction.secure->receive.open(said));
    CHECK_FALSE(victim.secure->receive.open(introduction.secure->send.seal(bytes("KEY"))));
}

TEST_CASE("a flipped bit anywhere in a handshake of two devices is found, or does not matter") {
    KeyHolder one, other;
    REQUIRE(one.context.allow(other.key()));
    for (std::size_t bit = 0; bit < 8 * (2 + 6 + 32 + 48 + 1); bit += 3) {
        CAPTURE(bit);
        End publisher{Handshake::of_publisher(&one.context)};
        End subscriber{Handshake::of_subscriber(&other.context, one.key())};
        (void)publisher.take(subscriber.handshake.output());
        (void)subscriber.take(publisher.handshake.output());
        const Bytes hello = subscriber.handshake.output();
        REQUIRE(hello.size() > bit / 8);
        if (publisher.take(flipped(hello, bit)) != State::failed) {
            // A longer frame is waited for.
            CHECK(publisher.handshake.output().empty());
        }
    }
}

TEST_CASE("sockets of every type that fits are let in, and no others") {
    for (const std::string_view type : {"SUB", "XSUB"}) {
        CHECK(greeted(nullptr).take(ready(type)) == State::done);
    }
    for (const std::string_view type : {"PUB", "XPUB", "REQ", "DEALER", "", "SUBS", "sub"}) {
        End publisher = greeted(nullptr);
        CHECK(publisher.take(ready(type)) == State::failed);
        CHECK(has(publisher.handshake.why(), "type"));
    }
    for (const std::string_view type : {"PUB", "XPUB"}) {
        End subscriber{Handshake::of_subscriber(nullptr, {})};
        (void)subscriber.take(greeting_of("NULL"));
        CHECK(subscriber.take(ready(type)) == State::done);
    }
    End subscriber{Handshake::of_subscriber(nullptr, {})};
    (void)subscriber.take(greeting_of("NULL"));
    CHECK(subscriber.take(ready("SUB")) == State::failed);
    CHECK(greeted(nullptr).take(command("READY", {})) == State::failed);
}

TEST_CASE("a property's name is the same in upper and lower case") {
    CHECK(greeted(nullptr).take(ready("SUB", "socket-type")) == State::done);
    CHECK(greeted(nullptr).take(ready("SUB", "SOCKET-TYPE")) == State::done);
    CHECK(greeted(nullptr).take(ready("SUB", "Socket_Type")) == State::failed);
}

TEST_CASE("version 3.0 is known by its greeting") {
    End publisher{Handshake::of_publisher(nullptr)};
    Bytes said = greeting_of("NULL", 0);
    append(said, ready("XSUB"));
    CHECK(publisher.take(said) == State::done);
    CHECK(publisher.handshake.introduction().minor == 0);
}

TEST_CASE("whatever is no handshake fails, and says so") {
    KeyHolder one;
    const auto refused = [&](const ZmqContext* security, const Bytes& said) {
        End publisher = greeted(security);
        CHECK(publisher.take(said) == State::failed);
        CHECK_FALSE(publisher.handshake.why().empty());
        CHECK(publisher.handshake.output().empty());
    };
    for (const ZmqContext* security :
         {static_cast<const ZmqContext*>(nullptr), static_cast<const ZmqContext*>(&one.context)}) {
        Bytes message;
        append_message(message, bytes("too early"));
        refused(security, message);
        refused(security, from_hex("ff"));          // flags
        refused(security, from_hex("0400"));        // a command without a name
        refused(security, from_hex("0403055858"));  // and one whose name does not end
        refused(security, command("PING", bytes("no")));
        refused(security, command("WELCOME", Bytes(49)));  // ours to say
        refused(security, command(security != nullptr ? "READY" : "HELLO", Bytes(81)));
    }
    refused(nullptr, command("READY", from_hex("0141ffffffff")));
    for (const std::size_t size : {0u, 31u, 32u, 79u, 80u, 81u, 82u, 500u}) {
        refused(&one.context, command("HELLO", Bytes(size, std::byte{0x5a})));
    }
    End publisher{Handshake::of_publisher(nullptr)};
    CHECK(publisher.take(bytes("SSH-2.0-OpenSSH_9.2")) == State::failed);
}

TEST_CASE("a command longer than the limit is refused by its head") {
    for (const std::size_t size : {kMaxHandshakeBytes, kMaxHandshakeBytes + 1}) {
        End publisher = greeted(nullptr);
        Bytes head(9);
        const std::size_t used = put_message_head(std::span<std::byte, 9>(head.data(), 9), size);
        REQUIRE(used == 9);
        head[0] |= std::byte{4};
        CHECK((publisher.take(head) == State::failed) == (size > kMaxHandshakeBytes));
    }
    End publisher = greeted(nullptr);
    CHECK(publisher.take(from_hex("06ffffffffffffffff")) == State::failed);
}

TEST_CASE("the reason of an error comes to the log as one line of text") {
    const auto why = [](std::string_view data) {
        End subscriber{Handshake::of_subscriber(nullptr, {})};
        (void)subscriber.take(greeting_of("NULL"));
        CHECK(subscriber.take(command("ERROR", bytes(data))) == State::failed);
        return subscriber.handshake.why();
    };
    CHECK(has(why("\x0fnot a known key"), "refused: not a known key"));
    CHECK_FALSE(has(why("\x05one\ntwo\x1b[2J"), "\n"));
    CHECK_FALSE(has(why("\x05one\ntwo\x1b[2J"), "\x1b"));
    CHECK(has(why(""), "refused"));
    CHECK(has(why("\x05"), "refused"));
    End publisher{Handshake::of_publisher(nullptr)};
    CHECK(publisher.take(greeting_of("A\nB")) == State::failed);
    CHECK_FALSE(has(publisher.handshake.why(), "\n"));
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::handshake_test
