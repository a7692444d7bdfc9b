// One end of a TCP connection, made by hand, that a test says whatever it likes on. Everything has
// ten seconds to happen, or a minute in a slow build.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "mesh/exchange/zmtp/noise.hpp"
#include "mesh/exchange/zmtp/socket.hpp"
#include "mesh/exchange/zmtp/wire.hpp"
#include "tests/exchange/pattern.hpp"
#include "tests/exchange/zmtp/bytes.hpp"
#include "tests/instrumented.hpp"

namespace shoal::mesh::testing {

class Stream {
  public:
    explicit Stream(exchange::zmtp::Socket socket) : socket_(std::move(socket)) {
        ::fcntl(descriptor(), F_SETFL, ::fcntl(descriptor(), F_GETFL) & ~O_NONBLOCK);
        const timeval limit{tests::by_speed(10, 60), 0};
        ::setsockopt(descriptor(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(descriptor(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    /// Connects to 127.0.0.1, with little room for what comes when `room` is not 0.
    static Stream to(std::uint16_t port, int room = 0) {
        exchange::zmtp::Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (room != 0) {
            ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        expect(::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address),
                         sizeof address) == 0,
               "a connection to port " + std::to_string(port));
        return Stream(std::move(socket));
    }
    int descriptor() const noexcept { return socket_.descriptor(); }

    /// False when the other end is gone, or takes nothing.
    bool try_send(std::span<const std::byte> bytes) const noexcept {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
        return true;
    }
    void send(std::span<const std::byte> bytes) const { expect(try_send(bytes), "all is sent"); }
    exchange::zmtp::Bytes read(std::size_t size) const {
        exchange::zmtp::Bytes bytes(size);
        for (std::size_t at = 0; at < size;) {
            const ssize_t got = ::recv(descriptor(), bytes.data() + at, size - at, 0);
            expect(got > 0, "more comes");
            at += static_cast<std::size_t>(got);
        }
        return bytes;
    }
    /// What has come so far.
    exchange::zmtp::Bytes there() const {
        exchange::zmtp::Bytes bytes(1 << 16);
        const ssize_t got = ::recv(descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return bytes;
    }
    /// Reads on to the end; false when there is none.
    bool ends() const {
        std::byte bytes[4096];
        ssize_t got = 0;
        while ((got = ::recv(descriptor(), bytes, sizeof bytes, 0)) > 0) {
        }
        return got == 0 || errno == ECONNRESET;
    }

    // ZMTP.
    struct Frame {
        bool command = false;
        exchange::zmtp::Bytes body;
    };
    Frame next() const {
        auto bytes = read(2);
        exchange::zmtp::Head head;
        if (decode_head(bytes, head) == exchange::zmtp::HeadState::incomplete) {
            append(bytes, read(exchange::zmtp::kMaxHeadBytes - 2));
        }
        expect(decode_head(bytes, head) == exchange::zmtp::HeadState::valid, "a frame");
        return {head.command, read(head.length)};
    }
    /// Without security, as a socket of this type; returns once the other end is ready.
    void greet(std::string_view type, std::uint8_t minor = 1) const {
        using namespace exchange::zmtp;
        const auto greeting = encode(Greeting{minor, "NULL", false});
        Bytes said(greeting.begin(), greeting.end()), properties;
        append_property(properties, "Socket-Type", type);
        append_command(said, "READY", properties);
        send(said);
        (void)read(kGreetingBytes);
        const auto frame = next();
        const auto command = decode_command(frame.body);
        expect(frame.command && command && command->name == "READY", "it is ready");
    }
    void send_command(std::string_view name, std::span<const std::byte> data) const {
        exchange::zmtp::Bytes out;
        exchange::zmtp::append_command(out, name, data);
        send(out);
    }
    void send_message(std::span<const std::byte> body) const {
        exchange::zmtp::Bytes out;
        exchange::zmtp::append_message(out, body);
        send(out);
    }

  private:
    exchange::zmtp::Socket socket_;
};

/// Listens on a free port of 127.0.0.1.
class StreamListener {
  public:
    StreamListener() : socket_(exchange::zmtp::listen_at("127.0.0.1", 0)) {}
    std::uint16_t port() const { return port_of(socket_); }
    std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port()); }
    Stream accept() const {
        pollfd at{socket_.descriptor(), POLLIN, 0};
        expect(::poll(&at, 1, 10'000) == 1, "somebody connects");
        return Stream(accept_from(socket_));
    }

  private:
    exchange::zmtp::Socket socket_;
};

}  // namespace shoal::mesh::testing
