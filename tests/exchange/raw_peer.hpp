// A device of a plan made of bare sockets, so that a test can send whatever it likes.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "mesh/exchange/frame.hpp"
#include "tests/exchange/fixtures.hpp"

namespace shoal::mesh::testing {

class RawPeer {
  public:
    explicit RawPeer(zmq::context_t& context, std::uint32_t rank, const PlanId& plan)
        : rank_(rank),
          plan_(plan),
          publish_(context, zmq::socket_type::xpub),
          subscribe_(context, zmq::socket_type::sub) {
        publish_.set(zmq::sockopt::linger, 0);
        subscribe_.set(zmq::sockopt::linger, 0);
        publish_.set(zmq::sockopt::rcvtimeo, 10000);
        publish_.bind("tcp://127.0.0.1:*");
        for (const std::uint32_t to : {exchange::kEveryone, rank}) {
            const auto topic = exchange::topic(plan, to);
            subscribe_.set(zmq::sockopt::subscribe, zmq::const_buffer(topic.data(), topic.size()));
        }
    }

    std::string endpoint() { return publish_.get(zmq::sockopt::last_endpoint); }
    void connect(const std::string& endpoint) { subscribe_.connect(endpoint); }

    /// Until `count` subscriptions came.
    void await_subscriptions(int count) {
        for (int i = 0; i < count; ++i) {
            zmq::message_t message;
            expect(publish_.recv(message).has_value(), "a subscription");
        }
    }

    exchange::FrameHeader header(exchange::FrameKind kind, std::uint64_t op) const {
        exchange::FrameHeader header;
        header.plan = plan_;
        header.from = rank_;
        header.kind = kind;
        header.op = op;
        return header;
    }
    void send(std::span<const std::byte> bytes) {
        expect(publish_.send(zmq::const_buffer(bytes.data(), bytes.size())).has_value(), "sent");
    }
    void send(exchange::FrameHeader header, std::span<const std::byte> bytes = {}) {
        header.length = static_cast<std::uint32_t>(bytes.size());
        send(frame(header, bytes));
    }
    static std::vector<std::byte> frame(const exchange::FrameHeader& header,
                                        std::span<const std::byte> bytes) {
        std::vector<std::byte> whole(exchange::kHeaderBytes);
        encode(header, std::span<std::byte, exchange::kHeaderBytes>(whole.data(), whole.size()));
        whole.insert(whole.end(), bytes.begin(), bytes.end());
        return whole;
    }
    void send_data(std::uint64_t op, std::size_t size) {
        send(header(exchange::FrameKind::data, op), pattern(rank_, op, size));
    }
    /// The first collective of a plan: how many devices, and who this is.
    void send_hello(std::uint32_t size, const DeviceId& id) {
        std::vector<std::byte> hello(20);
        hello[0] = static_cast<std::byte>(size);
        for (std::size_t i = 0; i < 16; ++i) hello[4 + i] = static_cast<std::byte>(id.bytes[i]);
        send(header(exchange::FrameKind::data, 1), hello);
    }

    /// The next frame, or nothing when none comes within `patience`.
    std::optional<exchange::FrameHeader> receive(
        std::chrono::milliseconds patience = std::chrono::seconds(10)) {
        subscribe_.set(zmq::sockopt::rcvtimeo, static_cast<int>(patience.count()));
        zmq::message_t message;
        if (!subscribe_.recv(message)) return std::nullopt;
        exchange::FrameHeader got;
        const std::span bytes(message.data<std::byte>(), message.size());
        expect(decode(bytes, got) == exchange::FrameError::none, "valid frames only");
        payload.assign(bytes.begin() + exchange::kHeaderBytes, bytes.end());
        return got;
    }
    /// The next frame of that kind; others are skipped.
    exchange::FrameHeader receive(exchange::FrameKind kind) {
        for (int i = 0; i < 1000; ++i) {
            const auto got = receive();
            expect(got.has_value(), "a frame comes");
            if (got->kind == kind) return *got;
        }
        throw std::runtime_error("no frame of that kind came");
    }

    std::vector<std::byte> payload;  ///< of the last frame received

  private:
    std::uint32_t rank_;
    PlanId plan_;
    zmq::socket_t publish_, subscribe_;
};

}  // namespace shoal::mesh::testing
