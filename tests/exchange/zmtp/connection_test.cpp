#include "mesh/exchange/zmtp/connection.hpp"

#include <doctest/doctest.h>
#include <sodium.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string>

#include "mesh/exchange/frame.hpp"
#include "tests/exchange/pattern.hpp"
#include "tests/exchange/zmtp/bytes.hpp"

namespace shoal::mesh::testing::connection_test {

using namespace exchange::zmtp;
using exchange::Frame;
using exchange::kHeaderBytes;
using Result = Reader::Result;

namespace {

/// Both ends of a connection, neither of which blocks.
struct Pair {
    Pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        near = Socket(ends[0]);
        far = Socket(ends[1]);
    }
    /// Requires: there is room.
    void put(std::span<const std::byte> bytes) const {
        REQUIRE(::send(far.descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    Result next(Reader& reader) const { return reader.next(near.descriptor()); }

    Socket near, far;
};

Bytes body_of(const Reader& reader) {
    return {reader.body().begin(), reader.body().end()};
}

/// A message with room for its head in front, as a port makes it.
Frame frame_of(FramePool& pool, std::span<const std::byte> bytes) {
    auto frame = pool.take(kMaxHeadBytes + bytes.size());
    frame->bytes = frame->bytes.subspan(kMaxHeadBytes);
    std::copy(bytes.begin(), bytes.end(), frame->bytes.begin());
    return frame;
}

Bytes message(std::span<const std::byte> body) {
    Bytes out;
    append_message(out, body);
    return out;
}

Bytes sealed_message(Sealer& sealer, std::size_t payload) {
    exchange::FrameHeader header;
    header.op = 3;
    header.length = static_cast<std::uint32_t>(payload);
    Bytes frame(kHeaderBytes);
    encode(header, std::span<std::byte, kHeaderBytes>(frame.data(), frame.size()));
    append(frame, pattern(0, 3, payload));
    Bytes sealed(frame.size() + kSealBytes);
    sealer.begin(frame, sealed);
    while (sealer.go_on(1 << 20) < sealed.size()) {
    }
    return message(sealed);
}

SealKey new_key() {
    REQUIRE(sodium_init() >= 0);
    return generate_seal_key();
}

}  // namespace

TEST_SUITE_BEGIN("connection");

TEST_CASE("messages and commands come as they were, in pieces of every size") {
    Bytes stream = message(bytes("one"));
    append_command(stream, "PING", bytes("two"));
    append(stream, message({}));
    append(stream, message(pattern(1, 1, 300)));
    append_command(stream, "LONG", pattern(1, 2, 700));
    for (std::size_t piece = 1; piece <= stream.size(); piece += piece < 40 ? 1 : 97) {
        CAPTURE(piece);
        const Pair pair;
        Reader reader(4096, {});
        std::vector<std::pair<Result, Bytes>> got;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            pair.put(std::span(stream).subspan(at, std::min(piece, stream.size() - at)));
            for (;;) {
                const Result result = pair.next(reader);
                if (result == Result::nothing) break;
                got.emplace_back(result, body_of(reader));
            }
        }
        REQUIRE(got.size() == 5);
        CHECK(got[0] == std::pair(Result::message, bytes("one")));
        CHECK(got[1] == std::pair(Result::command, bytes("\x04PINGtwo")));
        CHECK(got[2] == std::pair(Result::message, Bytes()));
        CHECK(got[3] == std::pair(Result::message, pattern(1, 1, 300)));
        CHECK(got[4].first == Result::command);
        CHECK(got[4].second.size() == 705);
        CHECK(reader.bytes() == stream.size());
    }
}

TEST_CASE("what came with the handshake is read before anything else") {
    const Pair pair;
    Bytes received = message(bytes("one"));
    const Bytes two = message(bytes("two"));
    append(received, std::span(two).first(3));
    Reader reader(100, received);
    pair.put(std::span(two).subspan(3));
    CHECK(pair.next(reader) == Result::message);
    CHECK(body_of(reader) == bytes("one"));
    CHECK(pair.next(reader) == Result::message);
    CHECK(body_of(reader) == bytes("two"));
    CHECK(pair.next(reader) == Result::nothing);
}

TEST_CASE("long frames and short ones go over a socket that takes little at a time") {
    constexpr std::size_t kSizes[] = {10, 3'000'000, 0, 70'000, 5};
    for (const bool sealed : {false, true}) {
        CAPTURE(sealed);
        const SealKey key = new_key();
        const Pair pair;
        const int little = 4096;
        ::setsockopt(pair.far.descriptor(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
        FramePool pool;
        Writer writer;
        Sealer sealer(key, Cipher::chacha20_poly1305, 0);
        Reader reader(4'000'000, {});
        if (sealed) reader.open_with(key, 0);
        for (const std::size_t size : kSizes) {
            if (sealed) {
                auto owner = std::make_shared<Bytes>(sealed_message(sealer, size));
                writer.push(std::make_shared<Outgoing>(Outgoing{owner, *owner, owner->size()}));
            } else {
                writer.push(as_message(frame_of(pool, pattern(0, 3, size))));
            }
        }
        for (const std::size_t size : kSizes) {
            Result result = Result::nothing;
            while ((result = pair.next(reader)) == Result::nothing) {
                REQUIRE(writer.queued() != 0);
                REQUIRE(writer.flush(pair.far.descriptor()));
            }
            REQUIRE(result == Result::message);
            const auto body = reader.body().subspan(sealed ? kHeaderBytes : 0);
            expect_pattern(body, 0, 3, size);
        }
        CHECK(writer.queued() == 0);
    }
}

TEST_CASE("a frame longer than the limit is refused by its head") {
    for (const bool command : {false, true}) {
        const Pair pair;
        Reader reader(1000, {});
        Bytes stream = message(Bytes(1000));
        if (command) {
            stream.clear();
            append_command(stream, "A", Bytes(998));
        }
        pair.put(stream);
        CHECK(pair.next(reader) == (command ? Result::command : Result::message));
        stream = message(Bytes(1001));
        if (command) {
            stream.clear();
            append_command(stream, "A", Bytes(999));
        }
        pair.put(std::span(stream).first(9));
        CHECK(pair.next(reader) == Result::malformed);
    }
    const Pair pair;
    Reader reader(1000, {});
    pair.put(from_hex("02ffffffffffffffff"));
    CHECK(pair.next(reader) == Result::malformed);
}

TEST_CASE("reserved flags and parts of messages are malformed") {
    for (const std::string_view head : {"01", "03", "08", "80", "ff"}) {
        const Pair pair;
        Reader reader(1000, {});
        pair.put(from_hex(head));
        CHECK(pair.next(reader) == Result::malformed);
    }
}

TEST_CASE("a peer that dies leaves nothing of the frame that it had begun") {
    const Bytes whole = message(pattern(0, 1, 600));
    for (std::size_t size = 0; size < whole.size(); size += size < 20 ? 1 : 113) {
        CAPTURE(size);
        Pair pair;
        Reader reader(4096, {});
        pair.put(message(bytes("before")));
        pair.put(std::span(whole).first(size));
        { const Socket gone = std::move(pair.far); }
        CHECK(pair.next(reader) == Result::message);
        CHECK(body_of(reader) == bytes("before"));
        Result result = pair.next(reader);
        for (int i = 0; i < 3 && result == Result::nothing; ++i) result = pair.next(reader);
        CHECK(result == Result::ended);
    }
}

TEST_CASE("a writer notices that nobody is there, and says so") {
    Pair pair;
    Connection connection{std::move(pair.near), {}, Reader(100, {}), Writer(), {}, {}, false};
    { const Socket gone = std::move(pair.far); }
    connection.send_message(bytes("one"));
    CHECK_FALSE(connection.writer.flush(connection.socket.descriptor()));
}

TEST_CASE("a writer that is not taken from keeps count of what waits") {
    const Pair pair;
    FramePool pool;
    Writer writer;
    std::size_t all = 0;
    while (writer.queued() < 5) {
        const Frame frame = frame_of(pool, Bytes(20000));
        writer.push(as_message(frame));
        all += 20009;
        REQUIRE(writer.flush(pair.far.descriptor()));
    }
    CHECK(writer.queued_bytes() >= 4 * 20009);
    CHECK(writer.queued_bytes() <= 5 * 20009);
    Reader reader(30000, {});
    std::size_t read = 0;
    while (writer.queued() != 0) {
        while (pair.next(reader) == Result::message) ++read;
        REQUIRE(writer.flush(pair.far.descriptor()));
    }
    while (pair.next(reader) == Result::message) ++read;
    CHECK(writer.queued_bytes() == 0);
    CHECK(writer.bytes() == all);
    CHECK(reader.bytes() == all);
    CHECK(read * 20009 == all);
}

TEST_CASE("only what is final of a frame is sent, and what is behind it waits") {
    const Pair pair;
    const auto frame = std::make_shared<Bytes>(message(pattern(0, 1, 100)));
    const auto growing = std::make_shared<Outgoing>(Outgoing{frame, *frame, 0});
    Writer writer;
    writer.push(growing);
    const auto next = std::make_shared<Bytes>(message(bytes("next")));
    writer.push(std::make_shared<Outgoing>(Outgoing{next, *next, next->size()}));
    for (const std::size_t ready : {0u, 1u, 1u, 50u, 101u}) {
        growing->ready = ready;
        REQUIRE(writer.flush(pair.far.descriptor()));
        CHECK(writer.bytes() == ready);
        CHECK(writer.queued() == 2);
    }
    growing->ready = frame->size();
    REQUIRE(writer.flush(pair.far.descriptor()));
    CHECK(writer.queued() == 0);
    Reader reader(1000, {});
    CHECK(pair.next(reader) == Result::message);
    CHECK(body_of(reader) == pattern(0, 1, 100));
    CHECK(pair.next(reader) == Result::message);
    CHECK(body_of(reader) == bytes("next"));
}

TEST_CASE("many small frames go together and arrive apart") {
    const Pair pair;
    FramePool pool;
    Writer writer;
    for (std::uint64_t i = 0; i < 50; ++i) {
        writer.push(as_message(frame_of(pool, pattern(0, i, i * 7))));
    }
    REQUIRE(writer.flush(pair.far.descriptor()));
    CHECK(writer.queued() == 0);
    Reader reader(1000, {});
    for (std::uint64_t i = 0; i < 50; ++i) {
        REQUIRE(pair.next(reader) == Result::message);
        CHECK(body_of(reader) == pattern(0, i, i * 7));
    }
}

TEST_CASE("a frame that somebody holds does not change when others come") {
    const SealKey key = new_key();
    for (const bool sealed : {false, true}) {
        CAPTURE(sealed);
        const Pair pair;
        Reader reader(100'000, {});
        Sealer sealer(key, Cipher::chacha20_poly1305, 0);
        if (sealed) reader.open_with(key, 0);
        std::vector<std::pair<std::size_t, Frame>> held;
        for (std::size_t i = 0; i < 100; ++i) {
            const std::size_t size = (i * 7919) % 20000;
            pair.put(sealed ? sealed_message(sealer, size) : message(pattern(0, 3, size)));
            REQUIRE(pair.next(reader) == Result::message);
            // Some are let go at once, some late, so that memory is used again in between.
            if (i % 3 != 0) held.emplace_back(size, reader.take());
            if (i % 5 == 0 && !held.empty()) held.erase(held.begin());
            for (const auto& [held_size, frame] : held) {
                const auto body = frame->bytes.subspan(sealed ? kHeaderBytes : 0);
                expect_pattern(body, 0, 3, held_size);
            }
        }
        CHECK(held.size() > 20);
    }
}

TEST_CASE("a pool gives memory that nobody holds, and its own again") {
    FramePool pool;
    const std::byte* first = nullptr;
    {
        const auto frame = pool.take(5000);
        CHECK(frame->bytes.size() == 5000);
        first = frame->memory.get();
    }
    const auto again = pool.take(3000);
    CHECK(again->memory.get() == first);
    CHECK(again->bytes.size() == 3000);
    const auto other = pool.take(3000);
    CHECK(other->memory.get() != first);
    std::vector<std::shared_ptr<WireFrame>> many;
    for (std::size_t i = 0; i < 200; ++i) {
        many.push_back(pool.take(i * 100));
        CHECK(many.back()->bytes.size() == i * 100);
        for (std::size_t k = 0; k + 1 < many.size(); ++k) {
            REQUIRE(many[k]->memory != many.back()->memory);
        }
    }
    CHECK(pool.take(64 << 20)->bytes.size() == 64 << 20);
}

TEST_CASE("a reader that opens takes what was sealed for it and nothing else") {
    const SealKey key = new_key();
    Sealer sealer(key, Cipher::chacha20_poly1305, 0), other(new_key(), Cipher::aes_256_gcm, 0);
    const auto outcome = [&](const Bytes& stream, std::size_t piece) {
        const Pair pair;
        Reader reader(100'000, {});
        reader.open_with(key, 0);
        Result result = Result::nothing;
        for (std::size_t at = 0; at < stream.size() && result == Result::nothing; at += piece) {
            pair.put(std::span(stream).subspan(at, std::min(piece, stream.size() - at)));
            result = pair.next(reader);
        }
        return result;
    };
    for (const std::size_t piece : {1u, 13u, 60u, 100'000u}) {
        CAPTURE(piece);
        CHECK(outcome(sealed_message(sealer, 500), piece) == Result::message);
        CHECK(outcome(sealed_message(other, 500), piece) == Result::forged);
        Bytes changed = sealed_message(sealer, 500);
        changed.back() ^= std::byte{1};
        CHECK(outcome(changed, piece) == Result::forged);
        for (const std::size_t size : {0u, 1u, 15u, 16u, 47u, 48u, 55u, 56u, 71u, 72u, 300u}) {
            CAPTURE(size);
            CHECK(outcome(message(Bytes(size)), piece) == Result::forged);
        }
        Bytes command;
        append_command(command, "PING", bytes("in clear"));
        CHECK(outcome(command, piece) == Result::command);
    }
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::connection_test
